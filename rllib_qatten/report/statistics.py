"""Statistics over several seeds and tasks, computed by scipy.

The definitions are rliable's, but not its code, which would restrict everything to pandas 2.

Interquartile means, stratified bootstrap, performance profiles and probability of improvement as
in Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice (2021).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.stats

from rllib_qatten import keys
from rllib_qatten.evaluation.estimate import CONFIDENCE, Estimate
from rllib_qatten.report.run import Run

#: Resamples per interval, and how many are drawn at a time.
REPS = 2000
BATCH = 200
#: Name -> the function that aggregates along an axis.
AGGREGATES: dict[str, Callable[..., np.ndarray]] = {
    "iqm": functools.partial(scipy.stats.trim_mean, proportiontocut=0.25),
    "median": np.median,
}
TITLES = {"iqm": "interquartile mean", "median": "median"}
#: Points of a curve over several tasks, and thresholds of a profile.
POINTS = 25
THRESHOLDS = np.linspace(0, 1, 51)


class Curve(NamedTuple):
    """Numbers along x and the ends of their 95 % intervals, [P]; NaN with a single run."""

    x: np.ndarray
    center: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Comparison(NamedTuple):
    """Algorithms with runs on the same tasks.

    Attributes:
        tasks: (environment, task), M of them.
        runs: Algorithm -> task -> its runs, R of them in every task.
        left_out: What is not compared, with the reason.
    """

    tasks: list[tuple[str, str]]
    runs: dict[str, dict[tuple[str, str], list[Run]]]
    left_out: list[str]


def by_task(runs: list[Run]) -> dict[tuple[str, str], dict[str, list[Run]]]:
    """(environment, task) -> algorithm -> runs."""
    groups: dict[tuple[str, str], dict[str, list[Run]]] = {}
    for run in runs:
        groups.setdefault((run.environment, run.task), {}).setdefault(run.label, []).append(run)
    return groups


def curve(runs: list[Run], score: str, aggregate: str) -> Curve | None:
    """The aggregate of one algorithm's runs on one task, over the steps that all of them cover.

    Runs are evaluated at slightly different steps: values in between are interpolated linearly.
    None if the runs have no steps in common.
    """
    fewest = min(runs, key=lambda run: len(run.steps))
    start, end = _shared(runs)
    x = fewest.steps[(fewest.steps >= start) & (fewest.steps <= end)]
    if not len(x):
        return None
    values = np.stack([np.interp(x, run.steps, run.scores[score]) for run in runs])
    return _bootstrap(x, _over(AGGREGATES[aggregate]), values.T)


def final(runs: list[Run], score: str, aggregate: str) -> Estimate:
    """The aggregate of the runs' final numbers."""
    values = np.array([[run.final(score) for run in runs]])
    return _one(_over(AGGREGATES[aggregate]), values)


def comparison(runs: list[Run]) -> Comparison:
    """The tasks and algorithms that make the largest full table, of two algorithms if possible."""
    groups = by_task(runs)
    tasks_of: dict[str, frozenset] = {}
    for task, algorithms in groups.items():
        for label in algorithms:
            tasks_of[label] = tasks_of.get(label, frozenset()) | {task}
    candidates = {a & b for a, b in itertools.product(tasks_of.values(), repeat=2)}

    def size(tasks: frozenset) -> tuple[bool, int, int]:
        number = sum(tasks <= of_label for of_label in tasks_of.values())
        return number > 1, number * len(tasks), len(tasks)

    chosen = max(sorted(candidates - {frozenset()}, key=sorted), key=size)
    labels = sorted(label for label, of_label in tasks_of.items() if chosen <= of_label)
    tasks = sorted(chosen)
    left_out = [
        f"{label}: it has no runs on some of them" for label in sorted(tasks_of.keys() - labels)
    ]
    table: dict[str, dict[tuple[str, str], list[Run]]] = {}
    for label in labels:
        number = min(len(groups[task][label]) for task in tasks)
        table[label] = {task: groups[task][label][:number] for task in tasks}
        spare = sum(len(groups[task][label]) for task in tasks) - number * len(tasks)
        if spare:
            left_out.append(f"{label}: {spare} of its runs, as other tasks have fewer")
    return Comparison(tasks, table, left_out)


def sample_efficiency(compared: Comparison, aggregate: str) -> dict[str, Curve]:
    """Algorithm -> aggregate of the normalized score over runs and tasks, by steps."""
    scales = _scales(compared)
    estimates = {}
    for label, of_task in compared.runs.items():
        start, end = _shared([run for runs in of_task.values() for run in runs])
        if start > end:
            continue
        x = np.linspace(start, end, POINTS)
        values = [
            np.stack([np.interp(x, run.steps, scales[task](run)) for run in runs], axis=-1)
            for task, runs in of_task.items()
        ]
        estimates[label] = _bootstrap(x, _over(AGGREGATES[aggregate]), *values)
    return estimates


def final_scores(compared: Comparison) -> dict[str, np.ndarray]:
    """Algorithm -> normalized final scores, [R, M]."""
    scales = _scales(compared)
    last = {
        label: [
            [np.mean(scales[task](run)[-keys.LAST :]) for run in runs]
            for task, runs in of_task.items()
        ]
        for label, of_task in compared.runs.items()
    }
    return {label: np.transpose(values) for label, values in last.items()}


def profiles(scores: dict[str, np.ndarray]) -> dict[str, Curve]:
    """Algorithm -> the share of its runs that ended above each threshold, all tasks together."""
    estimates = {}
    for label, values in scores.items():
        above = (values[..., None] > THRESHOLDS).astype(float)
        estimates[label] = _bootstrap(THRESHOLDS, _over(np.mean), *_tasks(above))
    return estimates


def improvements(scores: dict[str, np.ndarray]) -> dict[tuple[str, str], Estimate]:
    """(X, Y) -> the probability that a run of X ends above a run of Y on the same task.

    Mean over tasks; a tie counts half.
    """

    def probability(*samples: np.ndarray, axis: int) -> np.ndarray:
        half = len(samples) // 2
        pairs = zip(samples[:half], samples[half:], strict=True)
        # The fast method for the p-value, which is not used.
        tests = [scipy.stats.mannwhitneyu(*xy, axis=axis, method="asymptotic") for xy in pairs]
        runs = samples[0].shape[axis] * samples[half].shape[axis]
        return np.mean([test.statistic for test in tests], axis=0) / runs

    estimates = {}
    for x, y in itertools.combinations(scores, 2):
        of_both = (*_tasks(scores[x][..., None]), *_tasks(scores[y][..., None]))
        found = estimates[x, y] = _one(probability, *of_both)
        estimates[y, x] = Estimate(1 - found.mean, 1 - found.high, 1 - found.low)
    return estimates


def _shared(runs: list[Run]) -> tuple[float, float]:
    """The range of steps over which all of them were evaluated."""
    return max(run.steps[0] for run in runs), min(run.steps[-1] for run in runs)


def _scales(compared: Comparison) -> dict[tuple[str, str], Callable[[Run], np.ndarray]]:
    """Task -> a function that turns a run's evaluations into scores from 0 to 1.

    Win rates already are; returns are scaled by the lowest and highest of the task.
    """
    scales: dict[tuple[str, str], Callable[[Run], np.ndarray]] = {}
    for task in compared.tasks:
        runs = [run for of_task in compared.runs.values() for run in of_task[task]]
        if all("win_rate" in run.scores for run in runs):
            scales[task] = functools.partial(_scaled, score="win_rate", low=0.0, span=1.0)
        else:
            returns = np.concatenate([run.scores["return"] for run in runs])
            low, span = float(returns.min()), float(np.ptp(returns)) or 1.0
            scales[task] = functools.partial(_scaled, score="return", low=low, span=span)
    return scales


def _scaled(run: Run, score: str, low: float, span: float) -> np.ndarray:
    return (run.scores[score] - low) / span


def _tasks(values: np.ndarray) -> np.ndarray:
    """[R, M, P] as the samples of the bootstrap, one per task: [M, P, R]."""
    return np.moveaxis(values, 0, -1)


def _over(aggregate: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """The aggregate over all samples pooled."""
    return lambda *samples, axis: aggregate(np.concatenate(samples, axis=axis), axis=axis)


def _one(statistic: Callable[..., np.ndarray], *samples: np.ndarray) -> Estimate:
    """A single number from samples [1, R]."""
    found = _bootstrap(np.zeros(1), statistic, *samples)
    return Estimate(*(float(ends[0]) for ends in (found.center, found.low, found.high)))


def _bootstrap(x: np.ndarray, statistic: Callable[..., np.ndarray], *samples: np.ndarray) -> Curve:
    """A statistic of samples [P, R], each resampled independently, and its interval.

    There is no interval if a sample is a single run, which says nothing about the spread.
    """
    center = statistic(*samples, axis=-1)
    if min(sample.shape[-1] for sample in samples) < 2:
        nothing = np.full(len(x), np.nan)
        return Curve(x, center, nothing, nothing)
    interval = scipy.stats.bootstrap(
        samples,
        statistic,
        vectorized=True,
        axis=-1,
        n_resamples=REPS,
        batch=BATCH,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=0,  # the same runs give the same page
    ).confidence_interval
    return Curve(x, center, interval.low, interval.high)
