"""Why a trial failed, in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.experiment import Trial

from rllib_qatten.errors import own_line


def failure(trial: Trial) -> str:
    """The message of the error that ended a trial, without the traceback."""
    error = _kept(trial)
    if isinstance(error, RayTaskError):
        error = error.cause
    if memory := out_of_memory(str(error or trial.get_error())):
        return memory
    if isinstance(error, RuntimeError) and "Unable to set up cluster storage" in str(error):
        return gone(Path(trial.path or "").parent)
    if isinstance(error, RayActorError):
        return _death(error)
    if isinstance(error, BaseException) and not isinstance(error, RayError):
        what, where = f"{type(error).__name__}: {error}", own_line(str(trial.get_error()))
        return what if where in what else what + where
    # If an actor died while it was built, the error holds its traceback as text, message last.
    lines = str(error or trial.get_error() or "no reason is known").strip().splitlines()
    return lines[-1].strip()


def gone(folder: Path) -> str:
    """That a run has no folder any more."""
    return (
        f"the results folder is gone ({folder}): it was unmounted, moved or deleted, or another "
        "machine of the cluster does not have it."
    )


def _kept(trial: Trial) -> Any:
    """The error that Tune kept, here or, if this process began later, with the results."""
    here = trial.pickled_error_file
    # The results' storage may have become unwritable.
    if here and Path(here).exists():
        with open(here, "rb") as file:
            return cloudpickle.load(file)
    return trial.get_pickled_error()


def out_of_memory(text: str) -> str | None:
    """What Ray's message about processes that it killed means; None if it is another message."""
    memory = re.search(r"was ([\d.]+ ?[KMGT]?i?B)(?: used)? / ([\d.]+ ?[KMGT]?i?B)", text)
    if not memory:
        return None
    return (
        "OutOfMemoryError: a process of the trial was killed because memory ran out: "
        f"{memory[1]} of {memory[2]} were in use on its machine. Use a smaller "
        "replay_capacity_episodes (rllib train --dry-run predicts what a replay may take), fewer "
        "env runners or games, or fewer trials at a time."
    )


def _death(error: RayError) -> str:
    """Why a process died."""
    text = str(error)
    # What it raised while it was built or while it reported an error: an Error, or a class of a
    # module with another name, at the end of the traceback.
    errors = re.findall(r"^((?:\w+\.)*\w*(?:Error|Exception): .+)$", text, re.MULTILINE)
    others = re.findall(r"^((?:\w+\.)+[A-Z]\w*: .+)$", text, re.MULTILINE)
    if raised := [*errors[:1], *others[-1:]]:
        return f"{raised[0]}{own_line(text)}"
    who = re.search(r"class_name: (\S+)", text)
    return (
        f"{type(error).__name__}: the process of {who[1] if who else 'the trial'} was killed, by "
        "the system for lack of memory or by somebody; no reason is known."
    )
