"""Statistics over several seeds and tasks, computed by scipy.

Interquartile means, stratified bootstrap, performance profiles (and, in `improvement`, probability
of improvement) as in Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical
Precipice (2021), but with intervals that hold for few runs: a bootstrap of three runs covers the
truth 3 times in 4. The authors' library rliable offers nothing else, and needs `arch`, which cannot
be imported beside pandas 3.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.stats

from rllib_qatten import keys
from rllib_qatten.evaluation.estimate import CONFIDENCE, Estimate, student
from rllib_qatten.report.run import Run
from rllib_qatten.report.scores import SCORES

#: Resamples per interval, and how many are drawn at a time.
REPS = 2000
BATCH = 200
#: Share that an interquartile mean leaves out at each end, which takes four runs.
QUARTER = 0.25
#: The fewest runs for Student's interval, for that of a median, and for a bootstrap of every task.
STUDENT_RUNS, MEDIAN_RUNS, BOOTSTRAP_RUNS = 3, 6, 5
#: With so many tasks, three runs of each are enough for a bootstrap.
MANY_TASKS = 6
#: Name -> the function that aggregates along an axis.
AGGREGATES: dict[str, Callable[..., np.ndarray]] = {
    "iqm": functools.partial(scipy.stats.trim_mean, proportiontocut=QUARTER),
    "median": np.median,
}
TITLES = {"iqm": "interquartile mean", "median": "median"}
#: Points of a curve over several tasks, and thresholds of a profile.
POINTS = 25
THRESHOLDS = np.linspace(0, 1, 51)


class Curve(NamedTuple):
    """Numbers along x and the ends of their 95 % intervals, [P]; NaN where there is none."""

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
    values = np.stack([np.interp(x, run.steps, run.scores[score]) for run in runs], axis=-1)
    return Curve(x, *over_runs(values, aggregate, *SCORES[score].limits))


def final(runs: list[Run], score: str, aggregate: str) -> Estimate:
    """The aggregate of the runs' final numbers, with their range if there is no interval."""
    values = np.array([run.final(score) for run in runs])
    center, low, high = map(float, over_runs(values, aggregate, *SCORES[score].limits))
    if not np.isfinite(low):
        return Estimate.of_range(center, values)
    return Estimate(center, low, high, "student" if aggregate == "iqm" else "order statistics")


def over_runs(
    values: np.ndarray, aggregate: str, least: float = -np.inf, most: float = np.inf
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The aggregate of numbers [..., R] over runs and the ends of its interval, [...] each.

    Without a bootstrap, which is too narrow for few runs: Student's interval, of a trimmed mean
    from four runs on; for a median that of its order statistics. NaN if there are too few runs.
    """
    runs = values.shape[-1]
    if aggregate == "iqm":
        center, low, high = student(values, QUARTER)
        enough = runs >= STUDENT_RUNS
    else:
        center = np.median(values, axis=-1)
        enough = runs >= MEDIAN_RUNS
        found = scipy.stats.mstats.median_cihs(values, 1 - CONFIDENCE, axis=-1) if enough else ()
        low, high = np.moveaxis(np.asarray(found), -1, 0) if enough else (center, center)
    if not enough:
        low = high = np.full_like(center, np.nan)
    return center, np.maximum(low, least), np.minimum(high, most)


def comparison(runs: list[Run]) -> Comparison:
    """The tasks and algorithms that make the largest full table, of two algorithms if possible.

    Its size is that of all its runs, as many of every algorithm on every task.
    """
    groups = by_task(runs)
    numbers = sorted({len(of) for algorithms in groups.values() for of in algorithms.values()})
    # Least runs -> algorithm -> the tasks on which it has so many.
    tasks_of = {number: _tasks_with(groups, number) for number in numbers}
    candidates = {
        (number, a & b)
        for number, by_label in tasks_of.items()
        for a, b in itertools.product(by_label.values(), repeat=2)
        if a & b
    }

    def size(table: tuple[int, frozenset]) -> tuple[bool, int, int]:
        number, tasks = table
        labels = sum(tasks <= of_label for of_label in tasks_of[number].values())
        return labels > 1, labels * len(tasks) * number, len(tasks)

    least, chosen = max(sorted(candidates, key=lambda c: (c[0], sorted(c[1]))), key=size)
    labels = sorted(label for label, of_label in tasks_of[least].items() if chosen <= of_label)
    tasks = sorted(chosen)
    others = {label for algorithms in groups.values() for label in algorithms} - {*labels}
    few = "no runs" if least == 1 else f"fewer than {least} runs"
    left_out = [f"{label}: it has {few} on some of them" for label in sorted(others)]
    left_out += [
        f"{task[1]}: not all of these algorithms have {least} runs on it"
        for task in sorted(groups.keys() - chosen)
        if least > 1 and groups[task].keys() & {*labels}
    ]
    table: dict[str, dict[tuple[str, str], list[Run]]] = {}
    for label in labels:
        number = min(len(groups[task][label]) for task in tasks)
        table[label] = {task: groups[task][label][:number] for task in tasks}
        spare = sum(len(groups[task][label]) for task in tasks) - number * len(tasks)
        if spare:
            left_out.append(f"{label}: {spare} of its runs, as other tasks have fewer")
    return Comparison(tasks, table, left_out)


def _tasks_with(
    groups: dict[tuple[str, str], dict[str, list[Run]]], number: int
) -> dict[str, frozenset]:
    """Algorithm -> the tasks on which it has at least so many runs."""
    tasks_of: dict[str, frozenset] = {}
    for task, algorithms in groups.items():
        for label, of_label in algorithms.items():
            if len(of_label) >= number:
                tasks_of[label] = tasks_of.get(label, frozenset()) | {task}
    return tasks_of


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
        estimates[label] = bootstrap(x, _over(AGGREGATES[aggregate]), *values)
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


def over_tasks(scores: dict[str, np.ndarray], aggregate: str) -> dict[str, Estimate]:
    """Algorithm -> the aggregate of all its normalized final scores [R, M], with its interval."""
    estimates = {}
    for label, values in scores.items():
        found = bootstrap(np.zeros(1), _over(AGGREGATES[aggregate]), *values.T[:, None])
        center, low, high = (float(number[0]) for number in found[1:])
        estimates[label] = Estimate(center, low, high, "bootstrap" if low == low else "none")
    return estimates


def profiles(scores: dict[str, np.ndarray]) -> dict[str, Curve]:
    """Algorithm -> the share of its runs that ended above each threshold, all tasks together.

    The interval is that of a share of all runs; runs on unlike tasks vary less than it allows for.
    """
    estimates = {}
    for label, values in scores.items():
        above = (values[..., None] > THRESHOLDS).sum((0, 1))
        shares = [Estimate.of_share(int(hits), values.size) for hits in above]
        ends = np.array([(share.mean, share.low, share.high) for share in shares])
        if len(values) < STUDENT_RUNS:
            ends[:, 1:] = np.nan
        estimates[label] = Curve(THRESHOLDS, *ends.T)
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


def _over(aggregate: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """The aggregate over all samples pooled."""
    return lambda *samples, axis: aggregate(np.concatenate(samples, axis=axis), axis=axis)


def bootstrap(x: np.ndarray, statistic: Callable[..., np.ndarray], *samples: np.ndarray) -> Curve:
    """A statistic of the samples [P, R] of several tasks, each resampled on its own.

    Resamples of R numbers vary less than the numbers do, by (R - 1) / R, and know their spread no
    better: their distance to the sample's mean is stretched (Rao and Wu 1988), by Student's t over
    the normal distribution's as well. Normalized scores lie from 0 to 1. No interval with fewer
    than five runs of a task, or three of each of six tasks: there degrees of freedom count half,
    as only the middle half of all runs makes an interquartile mean.
    """
    center = statistic(*samples, axis=-1)
    fewest = min(sample.shape[-1] for sample in samples)
    few = fewest < BOOTSTRAP_RUNS
    if few and (fewest < STUDENT_RUNS or len(samples) < MANY_TASKS):
        nothing = np.full(len(x), np.nan)
        return Curve(x, center, nothing, nothing)
    tail, freedom = (1 + CONFIDENCE) / 2, sum(sample.shape[-1] - 1 for sample in samples)
    freedom = freedom / 2 if few else freedom
    factor = float(scipy.stats.t.ppf(tail, freedom) / scipy.stats.norm.ppf(tail))
    interval = scipy.stats.bootstrap(
        [_stretched(sample, factor) for sample in samples],
        statistic,
        vectorized=True,
        axis=-1,
        n_resamples=REPS,
        batch=BATCH,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=0,  # the same runs give the same page
    ).confidence_interval
    return Curve(x, center, interval.low.clip(0, 1), interval.high.clip(0, 1))


def _stretched(sample: np.ndarray, factor: float) -> np.ndarray:
    mean, runs = sample.mean(axis=-1, keepdims=True), sample.shape[-1]
    stretched: np.ndarray = mean + (sample - mean) * factor * np.sqrt(runs / (runs - 1))
    return stretched
