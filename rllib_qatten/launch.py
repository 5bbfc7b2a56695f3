"""Runs an experiment to its end: starts a quiet Ray, trains, and says what came of it."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import typer
from ray._private.ray_logging import global_worker_stdstream_dispatcher
from ray.tune.experiment import Trial

from rllib_qatten.experiment import BadInput, Experiment
from rllib_qatten.progress import Progress, failure, label
from rllib_qatten.stopping import Stopping

#: What every checkpoint of an RLlib algorithm holds.
CHECKPOINT_FILE = "rllib_checkpoint.json"
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
    "PYTHONWARNINGS": "ignore",
}
#: Lines of the workers that a user must see: what they wait for.
WORTH_SEEING = re.compile(r"(Compiling|Launching) \d+ game|; replay of \d+ games")

EXTRA_CPUS = "One trial takes {need:g} CPUs and {have} are here: its processes share them."


def train(experiment: Experiment, resume: Path | None, command: list[str]) -> int:
    """Trains, prints, and returns the exit code.

    Args:
        experiment: A checked experiment.
        resume: Checkpoint to go on from.
        command: The words that would start the same run again, for the hint how to go on.

    Returns:
        0 if all went well, 1 if a trial failed, 130 if the user stopped it.
    """
    stopping = Stopping(experiment.stop)
    progress = Progress(stopping, experiment.num_trials)
    with _quiet_ray(experiment.cpus_per_trial), stopping.on_ctrl_c():
        # Ray handles nothing but what it raises here; a second Ctrl-C comes out as it is.
        with contextlib.suppress(KeyboardInterrupt):
            experiment.tuner(stop=stopping, callbacks=[progress], resume=resume).fit()
    progress.summary()
    failed = [trial for trial in progress.trials if trial.status == Trial.ERROR]
    for trial in failed:
        _say_failure(trial, f"{label(trial)}: " if experiment.num_trials > 1 else "")
    if stopping.requested:
        _say_how_to_go_on(progress.trials, command, experiment.num_trials)
        return 130
    return 1 if failed else 0


def silence() -> None:
    """Keeps Ray's own warnings and logs out of what a user reads."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore")
    for name in ("ray", "ray.tune", "ray.rllib", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def checkpoint_folder(path: Path) -> Path:
    """Returns the absolute path of a checkpoint.

    Raises:
        BadInput: If it is none, naming the newest one below or beside it.
    """
    if (path / CHECKPOINT_FILE).is_file():
        return path.resolve()
    below = [file for depth in ("*/", "*/*/") for file in path.glob(depth + CHECKPOINT_FILE)]
    beside = path.parent.glob("*/" + CHECKPOINT_FILE)
    newest = max(below or beside, key=lambda file: file.stat().st_mtime, default=None)
    hint = f" Did you mean {newest.parent}?" if newest else ""
    fault = f"is no checkpoint, {CHECKPOINT_FILE} is missing" if path.is_dir() else "no such folder"
    raise BadInput(f"--resume {path}: {fault}.{hint}")


def _say_failure(trial: Trial, name: str) -> None:
    typer.secho(f"\nError: {name}{failure(trial)}", fg="red", err=True)
    checkpoint = trial.checkpoint
    last = checkpoint.path if checkpoint else "none was saved yet"
    typer.echo(f"Last good checkpoint: {last}", err=True)
    typer.echo(f"Traceback: {Path(trial.path or '') / ERROR_FILE}", err=True)


def _say_how_to_go_on(trials: list[Trial], command: list[str], num_trials: int) -> None:
    saved = [(trial, trial.checkpoint.path) for trial in trials if trial.checkpoint]
    if not saved:
        typer.echo("\nStopped before there was a checkpoint.", err=True)
        return
    without = num_trials - len(saved)
    note = f" ({without} of {num_trials} trials have none)" if without else ""
    typer.echo(f"\nStopped. To go on from the checkpoint{note}:", err=True)
    for trial, path in saved:
        words = [*command, "--resume", path]
        if num_trials > 1:
            words += ["--num-samples", "1"]
            for key, value in trial.evaluated_params.items():
                words += ["--set", f"{key.replace('/', '.')}={value}"]
        typer.echo(f"  {shlex.join(words)}", err=True)


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
        options |= {"num_cpus": int(max(have, cpus)), "_node_ip_address": "127.0.0.1"}
    else:
        options = {"logging_level": logging.CRITICAL}
    try:
        ray.init(**options)
        silence()
        global_worker_stdstream_dispatcher.remove_handler("ray_print_logs")
        global_worker_stdstream_dispatcher.add_handler("ray_print_logs", _Relay())
        yield
    finally:
        ray.shutdown()


class _Relay:
    """Passes on from the workers' output what is worth seeing, each line once."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, data: dict[str, Any]) -> None:
        for line in data["lines"]:
            if WORTH_SEEING.search(line) and line not in self._seen:
                self._seen.add(line)
                print(line, file=sys.stderr, flush=True)
