"""A training run's output: a line per result, what happens in between, and a summary at the end."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.result import EXPR_PROGRESS_FILE
from ray.tune.utils import flatten_dict

from rllib_qatten import keys
from rllib_qatten.algorithms import live
from rllib_qatten.experiment.experiment import Experiment
from rllib_qatten.experiment.pace import Pace, last_run
from rllib_qatten.experiment.rows import (
    COLUMNS,
    LOST,
    Column,
    Result,
    Rows,
    as_json,
    cell,
    is_number,
)
from rllib_qatten.experiment.screen import Screen
from rllib_qatten.experiment.stopping import Stopping
from rllib_qatten.report.scores import evaluated_games

#: Lines after which the header is repeated.
PAGE = 25
#: Seconds between two looks at what trials note, and trials looked at each time.
GLANCE, MOST = 0.3, 16
#: Keys by which trials and checkpoints are compared, and what they are called.
SCORES = {keys.GREEDY_WINS: "win rate", keys.GREEDY_RETURN: "return"}


class Progress(Callback):
    """Prints a line for every result of every trial, and what happens in between on a live line."""

    def __init__(self, stopping: Stopping, experiment: Experiment, screen: Screen) -> None:
        """Prints nothing before the first result.

        Args:
            stopping: The stop criteria, and whether the user wants to stop.
            experiment: If it has several trials, each line begins with its trial.
            screen: Where lines go.
        """
        self.trials: list[Trial] = []
        self._stopping, self._screen = stopping, screen
        self._name, self._num_trials = experiment.name, experiment.num_trials
        self._rows = Rows(self._num_trials > 1, screen.width)
        self._lines = 0
        self._dropped = False
        self._paces: dict[str, Pace] = {}
        self._past = last_run(experiment.folder)
        self._glanced = -math.inf
        self._began: tuple[float, float] | None = None
        self._evaluations: dict[str, dict[str, deque[float]]] = {}

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Keeps the trials, the only record of a run that is cut short."""
        self.trials = trials

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """See base class; called after every event and ten times a second."""
        now = time.monotonic()
        if self._screen.live and now - self._glanced > GLANCE:
            self._glanced = now
            self._show(trials)

    def get_state(self) -> dict[str, Any]:
        """What a restored sweep needs for its summary."""
        return {"evaluations": self._evaluations}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `get_state`."""
        self._evaluations = state["evaluations"]

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Prints the line."""
        flat: Result = flatten_dict(result)
        self._pace(trial).row(flat)
        evaluations = self._evaluations.setdefault(trial.trial_id, {})
        for key in (keys.GREEDY_WINS, keys.GREEDY_RETURN):
            if is_number(flat.get(key)):
                evaluations.setdefault(key, deque(maxlen=keys.LAST)).append(flat[key])
        lost = [flat.get(key) for key in (keys.DROPPED, keys.GREEDY_DROPPED)]
        flat[LOST] = sum(games for games in lost if is_number(games))
        self._dropped = self._dropped or bool(flat[LOST])
        if self._screen.json:
            self._screen.line(as_json(self._name, label(trial), trial.trial_id, flat))
            return
        if self._rows.arrange(flat, self._dropped) or self._lines % PAGE == 0:
            self._lines = 0
            for line in self._rows.header(evaluated_games(trial.config, flat.get(keys.ENGINE))):
                self._screen.line(line, bold=True)
        self._lines += 1
        self._screen.line(self._rows.row(label(trial), flat))

    def _pace(self, trial: Trial) -> Pace:
        if trial.trial_id not in self._paces:
            self._paces[trial.trial_id] = Pace(self._stopping.criteria, self._past)
        return self._paces[trial.trial_id]

    def _show(self, trials: list[Trial]) -> None:
        """The live line: of the one trial, or of all together."""
        running = [trial for trial in trials if trial.status == Trial.RUNNING]
        shift = int(self._glanced) % max(1, len(running))
        notes = {}
        for trial in (running[shift:] + running[:shift])[:MOST]:
            notes[trial.trial_id] = note = live.latest(trial)
            self._pace(trial).note(note)
        if self._num_trials > 1:
            return self._show_all(trials, running)
        doing = [note.get("doing", "starting") for note in notes.values()]
        text = doing[0] if doing else "starting the trial"
        if self._stopping.requested:
            text = f"stopping, {text}"
        cells: list[str] = []
        left = share = None
        for trial in trials:
            pace = self._pace(trial)
            left, share = pace.left, pace.share
            if pace.env_steps:
                cells.append(f"{pace.env_steps:,.0f} steps")
            cells += [f"{pace.speed:,.0f}/s"] if pace.speed else []
            cells += [pace.score] if pace.score else []
        self._screen.progress(text, cells, share, left)

    def _show_all(self, trials: list[Trial], running: list[Trial]) -> None:
        ended = [trial for trial in trials if trial.is_finished()]
        shares = [self._pace(trial).share or 0.0 for trial in running]
        share = (len(ended) + sum(shares)) / self._num_trials
        now = time.monotonic()
        # What an earlier run of this sweep has done took this one no time.
        self._began = self._began or (now, share)
        began, before = self._began
        left = None
        if share > before and now - began > GLANCE:
            left = (now - began) * (1 - share) / (share - before)
        speed = sum(self._pace(trial).speed or 0.0 for trial in running)
        cells = [f"{len(ended)} of {self._num_trials} trials done"]
        if best := self._best():
            cells.append(best)
        cells += [f"{speed:,.0f} steps/s"] if speed else []
        text = f"{len(running)} running" if running else "starting trials"
        text = "stopping" if self._stopping.requested else text
        self._screen.progress(text, cells, share, left)

    def _best(self) -> str:
        """The best trial so far, by the mean of its last evaluations."""
        scored = []
        for trial in self.trials:
            found = self._evaluations.get(trial.trial_id, {})
            for key, form in ((keys.GREEDY_WINS, "{:.1%}"), (keys.GREEDY_RETURN, "{:.2f}")):
                if values := found.get(key):
                    mean = sum(values) / len(values)
                    scored.append((mean, f"best {form.format(mean)} {label(trial)}"))
                    break
        return max(scored, default=(0.0, ""))[1]

    def summary(self) -> None:
        """Prints a table of the last evaluations, one line per trial, and where the files are."""
        # Not `trial.last_result`: without a result it asks a process that is gone.
        trials = [t for t in self.trials if keys.STEPS in t.run_metadata.last_result]
        if not trials:
            return
        if self._screen.json:
            for trial in trials:
                self._screen.line(json.dumps(self._outcome(trial)))
            return
        evaluated = {key for found in self._evaluations.values() for key in found}
        columns = [c for c in COLUMNS if c.key in evaluated]
        if columns:
            self._table(trials, columns)
        if self._num_trials == 1:
            [trial] = trials
            best, last = best_checkpoint(trial), trial.checkpoint
            self._screen.line(f"\nBest one kept:    {best or '-'}")
            self._screen.line(f"Last checkpoint:  {last.path if last else '-'}")
            self._screen.line(f"Curves:           {Path(trial.path or '') / EXPR_PROGRESS_FILE}")
            return
        found = [(best, trial) for trial in trials if (best := best_checkpoint(trial))]
        if found:
            best, trial = max(found, key=lambda item: item[0].score)
            self._screen.line(f"\nBest one kept:    {best}, {label(trial)}")
        curves = Path(trials[0].path or "").parent / "*" / EXPR_PROGRESS_FILE
        self._screen.line(f"Curves:           {curves}")

    def _mean(self, trial: Trial, key: str) -> float | None:
        """The mean of a trial's last evaluations."""
        values = self._evaluations.get(trial.trial_id, {}).get(key)
        return sum(values) / len(values) if values else None

    def _table(self, trials: list[Trial], columns: list[Column]) -> None:
        """One line per trial, best first."""
        games = _games(trials[0])
        greedy = "" if games == "evaluation" else f"{games} "
        self._screen.line(f"\nMean of the last {greedy}evaluations, {keys.LAST} at most:")
        several = self._num_trials > 1
        longest = (self._screen.width or 10**6) - 60
        width = max(min(len(label(trial)), longest) for trial in trials) if several else 0
        titles = ["env steps", *(f"{games} {SCORES[c.key]}" for c in columns)]
        row = "".join(title.rjust(len(title) + 2) for title in titles)
        self._screen.line(f"{'trial' if several else '':<{width}}{row}", bold=True)
        first = columns[0].key
        scores = {trial: self._mean(trial, first) for trial in trials}
        for trial in best_first(scores):
            cells = [f"{trial.last_result[keys.STEPS]:,.0f}"]
            cells += [cell(c, {c.key: self._mean(trial, c.key)}) for c in columns]
            row = "".join(c.rjust(len(t) + 2) for c, t in zip(cells, titles, strict=True))
            self._screen.line(f"{label(trial)[:width] if several else '':<{width}}{row}")

    def _outcome(self, trial: Trial) -> dict[str, Any]:
        """What the summary says of a trial, for programs."""
        best, last = best_checkpoint(trial), trial.checkpoint
        return {
            "experiment": self._name,
            "trial": label(trial),
            "trial_id": trial.trial_id,
            "status": trial.status,
            "mean_of_last_evaluations": {
                key: self._mean(trial, key) for key in SCORES if self._mean(trial, key) is not None
            },
            "best_checkpoint": best.path if best else None,
            "last_checkpoint": last.path if last else None,
            "curves": str(Path(trial.path or "") / EXPR_PROGRESS_FILE),
        }


def best_first(scores: dict[Any, float | None]) -> list[Any]:
    """What was scored, best first; what has no score comes last."""
    ranks = {key: -math.inf if score is None else score for key, score in scores.items()}
    return sorted(scores, key=ranks.__getitem__, reverse=True)


class Best(NamedTuple):
    """A checkpoint and its score."""

    score: float
    shown: str
    path: str

    def __str__(self) -> str:
        """The form in which the summary prints it."""
        return f"{self.path}  ({self.shown})"


def best_checkpoint(trial: Trial) -> Best | None:
    """The kept checkpoint with the best evaluation; None without evaluations."""
    manager = trial.run_metadata.checkpoint_manager
    kept = manager.best_checkpoint_results if manager else []
    for column in (c for c in COLUMNS if c.key in SCORES):
        scored = []
        # Of equal ones, the latest: max takes the first.
        for result in reversed(kept):
            score = flatten_dict(result.metrics).get(column.key)
            if result.checkpoint and is_number(score):
                shown = f"{_games(trial)} {SCORES[column.key]} {column.form(score)}"
                scored.append(Best(score, shown, result.checkpoint.path))
        if scored:
            return max(scored, key=lambda best: best.score)
    return None


def _games(trial: Trial) -> str:
    """What a trial's evaluations are called."""
    return evaluated_games(trial.config, trial.run_metadata.last_result.get(keys.ENGINE))


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
