"""Runs an experiment to its end: starts a quiet Ray, trains, and says what came of it."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import shlex
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import typer
from ray._private.ray_logging import global_worker_stdstream_dispatcher
from ray.rllib.algorithms.algorithm import Algorithm
from ray.tune.experiment import Trial

from rllib_qatten.algorithms import ALGORITHMS
from rllib_qatten.checkpoints import folder as checkpoint
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.curves import Command
from rllib_qatten.experiment.experiment import Experiment
from rllib_qatten.experiment.progress import Progress, failure, label
from rllib_qatten.experiment.stopping import Stopping
from rllib_qatten.experiment.tuner import Plan, restored_tuner, tuner
from rllib_qatten.messages import PREFIX

#: Where Tune writes the traceback, in the trial's folder.
ERROR_FILE = "error.txt"
#: Settings of Ray that only the environment can bring to all its processes.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ctrl-C is ours: Tune's own handler would end without a checkpoint.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Relative paths in an experiment mean the user's folder, not the trial's.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Tune's older output can be silenced whole, the newer one announces every run.
    "RAY_AIR_NEW_OUTPUT": "0",
    # Losses come only once learning began; our schedulers and searches wait for them.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "PYTHONWARNINGS": "ignore",
}

EXTRA_CPUS = "One trial takes {need:g} CPUs and {have} are here: its processes share them."


def train(
    plans: list[Plan],
    command: list[str],
    *,
    resume: Path | None = None,
    restore: bool = False,
) -> int:
    """Trains, one experiment after the other, prints, and returns the exit code.

    Args:
        plans: Checked experiments.
        command: The words that would start the same again, for the hint how to go on.
        resume: Checkpoint to go on from, with one experiment of one trial.
        restore: Whether experiments that had begun go on where they were.

    Returns:
        0 if all went well, 1 if a trial failed, 2 if checkpoints that cannot be read or written are
        all that failed, 130 if the user stopped it.
    """
    experiments = [plan.experiment for plan in plans]
    runs: list[tuple[Experiment, Progress]] = []
    requested = False
    words = [*command, *(["--resume", str(resume)] if resume else [])]
    with _quiet_ray(max(plan.cpus_per_trial for plan in plans)):
        for plan in plans:
            experiment = plan.experiment
            stopping = Stopping(experiment.stop, sweep=experiment.num_trials > 1)
            progress = Progress(stopping, experiment.num_trials)
            if len(experiments) > 1:
                typer.secho(f"\n{experiment.name}", bold=True)
            with stopping.on_ctrl_c():
                callbacks = [progress, Command(shlex.join(words))]
                if restore and plan.begun:
                    made = restored_tuner(plan, stop=stopping, callbacks=callbacks)
                else:
                    made = tuner(plan, stop=stopping, callbacks=callbacks, resume=resume)
                # Ray handles nothing but what it raises here; a second Ctrl-C comes out as it is.
                with contextlib.suppress(KeyboardInterrupt):
                    made.fit()
            runs.append((experiment, progress))
            if requested := stopping.requested:
                break
    failures: list[str] = []
    for experiment, progress in runs:
        if len(experiments) > 1:
            typer.secho(f"\n{experiment.name}", bold=True)
        progress.summary()
        for trial in progress.trials:
            if trial.status == Trial.ERROR:
                failures.append(failure(trial))
                _say_failure(trial, f"{label(trial)}: " if experiment.num_trials > 1 else "")
    if requested:
        several = len(experiments) > 1 or experiments[0].num_trials > 1
        _say_how_to_go_on(None if several else progress.trials, command)
        return 130
    users = [name for name in failures if re.match(r"([\w.]+\.)?CheckpointError:", name)]
    return 0 if not failures else 2 if users == failures else 1


def silence() -> None:
    """Keeps Ray's own warnings and logs out of what a user reads."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore")
    for name in ("ray", "ray.tune", "ray.rllib", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def checkpoint_folder(path: Path, run: str) -> Path:
    """Returns the absolute path of a checkpoint of the algorithm `run`, read to its last byte.

    Raises:
        BadInput: If it is none, naming the newest good one below or beside it.
    """

    def check(folder: Path) -> Path:
        checkpoint.verify(folder, run) if run in ALGORITHMS else checkpoint.read_metadata(folder)
        return folder.resolve()

    try:
        return check(path)
    except checkpoint.CheckpointError as error:
        file = Algorithm.METADATA_FILE_NAME
        found = [below for depth in ("*/", "*/*/") for below in path.glob(depth + file)]
        found = found or list(path.parent.glob("*/" + file))
        hint = ""
        for metadata in sorted(found, key=lambda file: -file.stat().st_mtime):
            with contextlib.suppress(checkpoint.CheckpointError):
                hint = f" Did you mean {check(metadata.parent)}?"
                break
        raise BadInput(f"--resume {error}{hint}") from error


def _say_failure(trial: Trial, name: str) -> None:
    typer.secho(f"\nError: {name}{failure(trial)}", fg="red", err=True)
    checkpoint = trial.checkpoint
    last = checkpoint.path if checkpoint else "none was saved yet"
    typer.echo(f"Last good checkpoint: {last}", err=True)
    typer.echo(f"Traceback: {Path(trial.path or '') / ERROR_FILE}", err=True)


def _say_how_to_go_on(trials: list[Trial] | None, command: list[str]) -> None:
    """Prints the command: for the one trial its checkpoint, for several all of them."""
    if trials is None:
        typer.echo("\nStopped. To go on with all trials:", err=True)
        typer.echo(f"  {shlex.join([*command, '--restore'])}", err=True)
    elif saved := [trial.checkpoint.path for trial in trials if trial.checkpoint]:
        typer.echo("\nStopped. To go on from the checkpoint:", err=True)
        typer.echo(f"  {shlex.join([*command, '--resume', saved[0]])}", err=True)
    else:
        typer.echo("\nStopped before there was a checkpoint.", err=True)


@contextlib.contextmanager
def _quiet_ray(cpus: float) -> Iterator[None]:
    """A Ray of this machine, or the cluster that RAY_ADDRESS names, that logs to its files only.

    Args:
        cpus: What a trial needs at least.
    """
    options: dict[str, Any] = {"include_dashboard": False, "logging_level": logging.CRITICAL}
    if "RAY_ADDRESS" not in os.environ:
        # Not on every system is there a limit per process.
        have = (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
        if cpus > have:
            typer.echo(EXTRA_CPUS.format(need=cpus, have=have), err=True)
        # Else Ray would join a cluster that happens to run here.
        options |= {"address": "local", "_node_ip_address": "127.0.0.1"}
        options |= {"num_cpus": math.ceil(max(have, cpus))}
    else:
        options = {"logging_level": logging.CRITICAL}
        _knock(os.environ["RAY_ADDRESS"])
    try:
        try:
            ray.init(**options)
        except ConnectionError as error:
            raise _no_cluster(error.__cause__ or error) from error
        silence()
        global_worker_stdstream_dispatcher.remove_handler("ray_print_logs")
        global_worker_stdstream_dispatcher.add_handler("ray_print_logs", _Relay())
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Makes sure that something listens at a cluster's address; Ray would try for minutes.

    Raises:
        BadInput: If nothing does.
    """
    host, _, port = address.rpartition("://")[-1].rpartition(":")
    if not (host and port.isdigit()):  # a word such as auto
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise _no_cluster(error.strerror or error) from error


def _no_cluster(why: object) -> BadInput:
    return BadInput(
        f"no Ray cluster at RAY_ADDRESS={os.environ.get('RAY_ADDRESS')}: {why}. Start one with "
        "`ray start --head`, correct the address (a cluster with tokens also needs "
        "RAY_AUTH_MODE=token here), or unset it to train on this machine alone."
    )


class _Relay:
    """Passes on from the workers' output what `say` said there, each line once."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, data: dict[str, Any]) -> None:
        for line in data["lines"]:
            text = line.removeprefix(PREFIX)
            if text != line and line not in self._seen:
                self._seen.add(line)
                print(text, file=sys.stderr, flush=True)
