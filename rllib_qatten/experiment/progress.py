"""A training run's output: a line per result, and a summary at the end."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import typer
from ray import cloudpickle
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.utils import flatten_dict

from rllib_qatten import keys
from rllib_qatten.experiment.stopping import Stopping

#: Lines after which the header is repeated.
PAGE = 25

Result = dict[str, Any]
#: Title, result key, format; a column is as wide as its title and two spaces, or 10.
COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("env steps", keys.STEPS, "{:,.0f}".format),
    ("steps/s", "steps_per_second", "{:,.0f}".format),
    ("win rate", keys.WINS, "{:.1%}".format),
    ("greedy win rate", keys.GREEDY_WINS, "{:.1%}".format),
    ("return", keys.RETURN, "{:.2f}".format),
    ("greedy return", keys.GREEDY_RETURN, "{:.2f}".format),
    ("loss", f"{keys.LEARNER}/{keys.LOSS}", "{:.4g}".format),
    ("epsilon", f"{keys.ENV_RUNNERS}/{keys.EPSILON}", "{:.3f}".format),
    ("elapsed", "time_total_s", lambda seconds: clock(seconds)),
    ("left", "time_left_s", lambda seconds: clock(seconds)),
)
#: Appended to the line once games were lost to engine faults.
DROPPED = ("dropped games", "games_dropped", "{:,.0f}".format)


class Progress(Callback):
    """Prints a line for every result of every trial, as plain text that also suits a file."""

    def __init__(self, stopping: Stopping, num_trials: int) -> None:
        """Prints nothing before the first result.

        Args:
            stopping: The stop criteria.
            num_trials: If more than one, each line begins with its trial.
        """
        self.trials: list[Trial] = []
        self._stopping = stopping
        self._num_trials = num_trials
        self._lines = 0
        self._dropped = False
        self._first: dict[str, Result] = {}
        self._previous: dict[str, Result] = {}
        self._evaluations: dict[str, dict[str, deque[float]]] = {}

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Keeps the trials, the only record of a run that is cut short."""
        self.trials = trials

    def get_state(self) -> dict[str, Any]:
        """What a restored sweep needs for its summary."""
        return {"evaluations": self._evaluations}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `get_state`."""
        self._evaluations = state["evaluations"]

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: Result, **info: Any
    ) -> None:
        """Prints the line."""
        flat: Result = flatten_dict(result)
        self._first.setdefault(trial.trial_id, flat)
        self._add_times(flat, self._previous.get(trial.trial_id), self._first[trial.trial_id])
        self._previous[trial.trial_id] = flat
        evaluations = self._evaluations.setdefault(trial.trial_id, {})
        for key in (keys.GREEDY_WINS, keys.GREEDY_RETURN):
            if _is_number(flat.get(key)):
                evaluations.setdefault(key, deque(maxlen=keys.LAST)).append(flat[key])
        # Only battles have win rates.
        columns = [
            c for c in COLUMNS if keys.WINS in flat or c[1] not in (keys.WINS, keys.GREEDY_WINS)
        ]
        lost = [flat.get(key) for key in (keys.DROPPED, keys.GREEDY_DROPPED)]
        flat[DROPPED[1]] = sum(games for games in lost if _is_number(games))
        if flat[DROPPED[1]] and not self._dropped:
            self._dropped, self._lines = True, 0
        columns += [DROPPED] if self._dropped else []
        if self._lines % PAGE == 0:
            titles = "".join(title.rjust(_width(title)) for title, _, _ in columns)
            typer.secho(self._label("trial") + titles, bold=True)
        self._lines += 1
        cells = [
            (form(flat[key]) if _is_number(flat.get(key)) else "-").rjust(_width(title))
            for title, key, form in columns
        ]
        typer.echo(self._label(label(trial)) + "".join(cells))

    def _label(self, text: str) -> str:
        return f"{text:<24.24}" if self._num_trials > 1 else ""

    def _add_times(self, now: Result, previous: Result | None, first: Result) -> None:
        """Adds this iteration's steps per second and the time left to the nearest criterion."""
        # Another trial's checkpoint may move it forward or back.
        if now["training_iteration"] == (previous or {}).get("training_iteration", 0) + 1:
            steps = now.get(keys.STEPS, 0) - (previous or {}).get(keys.STEPS, 0)
            now["steps_per_second"] = steps / max(now["time_this_iter_s"], 1e-9)
        passed = now["time_total_s"] - first["time_total_s"]
        left = []
        for key, goal in self._stopping.criteria.items():
            # Only steady growth can be extrapolated.
            if passed and ("lifetime" in key or "iteration" in key or key.startswith("time_")):
                speed = (now.get(key, 0) - first.get(key, 0)) / passed
                left += [max(0.0, goal - now[key]) / speed] if speed > 0 else []
        if left:
            now["time_left_s"] = min(left)

    def summary(self) -> None:
        """Prints a table of the last evaluations, one line per trial, and where the files are."""
        # Not `trial.last_result`: without a result it asks a process that is gone.
        trials = [t for t in self.trials if keys.STEPS in t.run_metadata.last_result]
        if not trials:
            return
        evaluated = {key for found in self._evaluations.values() for key in found}
        columns = [c for c in COLUMNS if c[1] in evaluated]
        if columns:
            self._table(trials, columns)
        if self._num_trials == 1:
            [trial] = trials
            best, last = best_checkpoint(trial), trial.checkpoint
            typer.echo(f"\nBest one kept:    {best or '-'}")
            typer.echo(f"Last checkpoint:  {last.path if last else '-'}")
            typer.echo(f"Curves:           {Path(trial.path or '') / 'progress.csv'}")
            return
        found = [(best, trial) for trial in trials if (best := best_checkpoint(trial))]
        if found:
            best, trial = max(found, key=lambda item: item[0].score)
            typer.echo(f"\nBest one kept:    {best}, {label(trial)}")
        typer.echo(f"Curves:           {Path(trials[0].path or '').parent / '*' / 'progress.csv'}")

    def _table(self, trials: list[Trial], columns: list[Any]) -> None:
        """One line per trial, best first."""
        means = {
            trial.trial_id: {
                key: sum(values) / len(values)
                for key, values in self._evaluations.get(trial.trial_id, {}).items()
            }
            for trial in trials
        }
        typer.echo(f"\nMean of the last greedy evaluations, {keys.LAST} at most:")
        several = self._num_trials > 1
        width = max(len(label(trial)) for trial in trials) if several else 0
        titles = ["env steps", *(title for title, _, _ in columns)]
        row = "".join(title.rjust(_width(title)) for title in titles)
        typer.secho(f"{'trial' if several else '':<{width}}{row}", bold=True)
        first = columns[0][1]
        for trial in sorted(
            trials, key=lambda t: means[t.trial_id].get(first, -math.inf), reverse=True
        ):
            row = f"{trial.last_result[keys.STEPS]:,.0f}".rjust(_width("env steps"))
            for title, key, form in columns:
                mean = means[trial.trial_id].get(key)
                row += ("-" if mean is None else form(mean)).rjust(_width(title))
            typer.echo(f"{label(trial) if several else '':<{width}}{row}")


class Best(NamedTuple):
    """A checkpoint and its score."""

    score: float
    title: str
    shown: str
    path: str

    def __str__(self) -> str:
        """The form in which the summary prints it."""
        return f"{self.path}  ({self.title} {self.shown})"


def best_checkpoint(trial: Trial) -> Best | None:
    """The kept checkpoint with the best greedy score; None without evaluations."""
    manager = trial.run_metadata.checkpoint_manager
    kept = manager.best_checkpoint_results if manager else []
    for title, key, form in COLUMNS:
        scored = []
        # Of equal ones, the latest: max takes the first.
        for result in reversed(kept):
            score = flatten_dict(result.metrics).get(key)
            if (
                key in (keys.GREEDY_WINS, keys.GREEDY_RETURN)
                and result.checkpoint
                and _is_number(score)
            ):
                scored.append(Best(score, title, form(score), result.checkpoint.path))
        if scored:
            return max(scored, key=lambda best: best.score)
    return None


def label(trial: Trial) -> str:
    """A short name: the trial's number, and how it differs from the others."""
    number = trial.experiment_tag.split("_")[0].split("@")[0]
    # Not `evaluated_params` alone: population based training changes the config.
    now = flatten_dict(trial.config)
    values = [
        (key.split("/")[-1], now.get(key, value)) for key, value in trial.evaluated_params.items()
    ]
    shown = (f"{k}={f'{v:.4g}' if isinstance(v, float) else v}" for k, v in values)
    return " ".join([f"#{number}", *shown])


def failure(trial: Trial) -> str:
    """The message of the error that ended a trial, without the traceback."""
    error = _kept(trial)
    if isinstance(error, RayTaskError):
        error = error.cause
    if isinstance(error, RayActorError | OutOfMemoryError):
        return _death(error)
    if isinstance(error, BaseException) and not isinstance(error, RayError):
        return f"{type(error).__name__}: {error}"
    # If an actor died while it was built, the error holds its traceback as text, message last.
    lines = str(error or trial.get_error() or "no reason is known").strip().splitlines()
    return lines[-1].strip()


def _kept(trial: Trial) -> Any:
    """The error that Tune kept, here or, if this process began later, with the results."""
    here = trial.pickled_error_file
    # The results' storage may have become unwritable.
    if here and Path(here).exists():
        with open(here, "rb") as file:
            return cloudpickle.load(file)
    return trial.get_pickled_error()


def _death(error: RayError) -> str:
    """Why a process died."""
    text = str(error)
    if memory := re.search(r"was ([\d.]+ ?[KMGT]?i?B) / ([\d.]+ ?[KMGT]?i?B)", text):
        return (
            f"OutOfMemoryError: a process of the trial was killed because memory ran out: "
            f"{memory[1]} of {memory[2]} were in use. Use fewer env runners or games, or a "
            "smaller replay_capacity_episodes."
        )
    # What it raised while it was built or while it reported an error.
    if raised := re.search(r"^((?:\w+\.)*\w*(?:Error|Exception): .+)$", text, re.MULTILINE):
        return raised[1]
    who = re.search(r"class_name: (\S+)", text)
    return (
        f"{type(error).__name__}: the process of {who[1] if who else 'the trial'} was killed, by "
        "the system for lack of memory or by somebody; no reason is known."
    )


def clock(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _width(title: str) -> int:
    return max(len(title) + 2, 10)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
