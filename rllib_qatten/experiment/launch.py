"""Runs an experiment to its end: starts a quiet Ray, trains, and reports the outcome."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.fs
import typer
from ray.tune import Checkpoint
from ray.tune.experiment import Trial

from rllib_qatten.algorithms import live
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.curves import Command
from rllib_qatten.experiment.failure import failure, gone, out_of_memory
from rllib_qatten.experiment.process_environment import cluster_address
from rllib_qatten.experiment.progress import Progress, label
from rllib_qatten.experiment.ray_session import ray_session
from rllib_qatten.experiment.restoring import record_settings, restored_tuner
from rllib_qatten.experiment.screen import Screen
from rllib_qatten.experiment.stopping import Stopping, StopRequest
from rllib_qatten.experiment.tuner import Plan, tuner
from rllib_qatten.files import claimed

#: Where Tune writes the traceback, in the trial's folder.
ERROR_FILE = "error.txt"


def train(
    plans: list[Plan],
    command: list[str],
    screen: Screen,
    *,
    resume: Path | None = None,
    restore: bool = False,
) -> int:
    """Trains one experiment after another, prints, and returns the exit code.

    Args:
        plans: Checked experiments.
        command: The arguments that start the same again, for the hint on how to continue.
        screen: Where lines go; it is closed before the outcome is reported.
        resume: Checkpoint to continue from, with one experiment of one trial.
        restore: Whether experiments that had begun continue where they left off.

    Returns:
        0 if all went well; 1 if a trial failed; 2 if only unreadable or unwritable checkpoints
        failed; 128 plus the signal's number if a signal stopped it: 130 for Ctrl-C, 143 for
        SIGTERM, 129 for SIGHUP.
    """
    request = StopRequest()
    runs: list[_Run] = []
    words = shlex.join([*command, *(["--resume", str(resume)] if resume else [])])
    cpus = max(plan.cpus_per_trial for plan in plans)
    whole = False

    def lost(why: str) -> int:
        screen.close()
        if request.signum:
            why = "the signal also ended Ray itself, so that no new checkpoint could be written"
        _say(f"{why}. What was saved is intact.")
        _say_how_to_continue(runs, plans, command, words)
        return 128 + request.signum if request.signum else 1

    # Not handled by Ray: a signal before there was anything to finish, or a second Ctrl-C.
    with _alone(plans), request.listening(), contextlib.suppress(KeyboardInterrupt):
        screen.announce("Joining the cluster" if cluster_address() else "Starting Ray")
        with ray_session(cpus, request, lost), _watched(screen):
            for plan in plans:
                _title(plan, plans, screen)
                run = _Run(plan, request, screen)
                runs.append(run)
                run.fit(words, resume, restore)
                if run.error or request.signum is not None:
                    break
            whole = len(runs) == len(plans) and not run.stopping.interrupted
    screen.close()
    return _conclude(runs, plans, command, words, screen, None if whole else request.signum)


@contextlib.contextmanager
def _alone(plans: list[Plan]) -> Iterator[None]:
    """No other run writes into the folders of these.

    Raises:
        BadInput: If they cannot be made, or if one does: of this machine or, where the file system
            tells, of another.
    """
    folders = [plan.experiment.folder for plan in plans]
    with contextlib.ExitStack() as stack:
        for folder in (folder for folder in folders if isinstance(folder, Path)):
            stack.callback(_remove_empty, [f for f in (folder, *folder.parents) if not f.exists()])
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                why = f"results cannot be written in {folder}: {error.strerror}. Nothing was run."
                raise BadInput(f"storage_path: {why}") from error
            if stack.enter_context(claimed(folder)) is False:
                raise BadInput(
                    f"another rllib train is writing its results to {folder}: wait for its end, or "
                    "begin beside it with another --name."
                )
        yield


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def _watched(screen: Screen) -> Iterator[None]:
    """Trials note what they are doing while this process has a live line."""
    if screen.live:
        live.watch()
    try:
        yield
    finally:
        if screen.live:
            live.unwatch()
        screen.doing("Shutting down")


class _Run:
    """One experiment while it runs."""

    def __init__(self, plan: Plan, request: StopRequest, screen: Screen) -> None:
        self.plan, self.experiment = plan, plan.experiment
        experiment = plan.experiment
        self.stopping = Stopping(experiment.stop, request, experiment.time_budget_s)
        self.progress = Progress(self.stopping, experiment, screen)
        screen.doing(f"Starting {experiment.name}")
        self.error: Exception | None = None
        #: Failed trials with the reason, which Tune keeps in Ray's temporary folder.
        self.failures: list[tuple[Trial, str]] = []
        self._request = request

    def fit(self, command: str, resume: Path | None, restore: bool) -> None:
        """Trains to the end, or stores the error that prevented it."""
        callbacks = [self.progress, Command(command)]
        with self._request.training():
            try:
                parts: dict[str, Any] = {"stop": self.stopping, "callbacks": callbacks}
                if restore and self.plan.begun:
                    made = restored_tuner(self.plan, **parts)
                else:
                    made = tuner(self.plan, **parts, resume=resume)
                record_settings(self.experiment)
                made.fit()
            except BadInput:
                raise
            except Exception as error:  # whatever Tune, its callbacks and file systems raise
                self.error = error
            finally:
                failed = [t for t in self.progress.trials if t.status == Trial.ERROR]
                self.failures = [(trial, failure(trial)) for trial in failed]

    @property
    def fault(self) -> str:
        """What went wrong besides the trials, and what is left."""
        error, folder = self.error, self.experiment.folder
        if isinstance(folder, Path) and not folder.exists():
            return gone(folder)
        if isinstance(error, OSError):
            why = os.strerror(error.errno) if error.errno else str(error)
            where = error.filename or folder
            return f"no more results can be written, {where}: {why}. What was saved is intact."
        if memory := out_of_memory(str(error)):
            return f"{memory} What was saved is intact."
        lines = str(error).strip().splitlines() or [""]
        return f"{type(error).__name__}: {lines[-1].strip()} What was saved is intact."


def _title(plan: Plan, plans: list[Plan], screen: Screen) -> None:
    if len(plans) > 1 and not screen.json:
        screen.line(f"\n{plan.experiment.name}", bold=True)


def _conclude(
    runs: list[_Run],
    plans: list[Plan],
    command: list[str],
    words: str,
    screen: Screen,
    signum: int | None,
) -> int:
    """Reports the outcome; returns the exit code."""
    failures: list[str] = []
    for run in runs:
        _title(run.plan, plans, screen)
        run.progress.summary()
        for trial, why in run.failures:
            failures.append(why)
            several = run.experiment.num_trials > 1
            _say_failure(trial, f"{label(trial)}: {why}" if several else why)
        if run.error and run.fault not in failures:  # of which a trial may have told
            failures.append(run.fault)
            _say(run.fault)
        if run.stopping.interrupted and run.stopping.time_is_over:
            budget = run.experiment.time_budget_s
            said = f"\ntime_budget_s: the {budget:g} s of {run.experiment.name} are used up."
            typer.echo(said, err=screen.json)
    errors = any(run.error for run in runs)
    if signum or errors or any(run.stopping.interrupted for run in runs):
        _say_how_to_continue(runs, plans, command, words)
    if signum:
        return 128 + signum
    users = [name for name in failures if re.match(r"([\w.]+\.)?CheckpointError:", name)]
    return 0 if not failures else 2 if users == failures else 1


def _say_failure(trial: Trial, text: str) -> None:
    _say(text)
    checkpoint = trial.checkpoint
    last = checkpoint.path if checkpoint else "none was saved yet"
    if checkpoint and _gone(checkpoint):
        last = f"{last}, which is not there now"
    typer.echo(f"Last good checkpoint: {last}", err=True)
    if (file := Path(trial.path or "") / ERROR_FILE).exists():
        typer.echo(f"Traceback: {file}", err=True)


def _gone(checkpoint: Checkpoint) -> bool:
    local = isinstance(checkpoint.filesystem, pyarrow.fs.LocalFileSystem)
    return local and not Path(checkpoint.path).exists()


def _say(text: str) -> None:
    typer.secho(f"\nError: {text}", fg="red", err=True)


def _say_how_to_continue(
    runs: list[_Run], plans: list[Plan], command: list[str], words: str
) -> None:
    """Prints the commands: to continue all trials, or to start a new run from a checkpoint."""
    if any(run.stopping.cut_off for run in runs):
        typer.echo("\nThe iteration did not end in time: it will be repeated.", err=True)
    trials = [trial for run in runs for trial in run.progress.trials]
    begun = any(plan.begun for plan in plans)
    if not begun and not any(trial.checkpoint for trial in trials):
        typer.echo(f"\nStopped before anything was saved. To start again:\n  {words}", err=True)
        return
    what = "all trials" if sum(plan.experiment.num_trials for plan in plans) > 1 else "this run"
    once = "" if begun else ", once its results are where they were"
    typer.echo(f"\nStopped. To continue {what}{once}:", err=True)
    typer.echo(f"  {shlex.join([*command, '--restore'])}", err=True)
    if len(trials) == len(plans) == 1 and (saved := trials[0].checkpoint):
        typer.echo("Or, with other settings, from its checkpoint as a new run:", err=True)
        typer.echo(f"  {shlex.join([*command, '--resume', saved.path])}", err=True)
