"""Names for runs of one algorithm with different settings, and runs that are no repetitions."""

from __future__ import annotations

import dataclasses

import numpy as np

from rllib_qatten.messages import printable
from rllib_qatten.report import differences
from rllib_qatten.report.differences import Values
from rllib_qatten.report.run import Run

#: The longest list of settings in a label, in characters.
SHORT = 24


def once(runs: list[Run], warnings: list[str]) -> list[Run]:
    """Of runs with equal settings and seed the longest, or else the newest.

    The others tell nothing about another seed: their numbers are the same, or it continues them and
    takes theirs over. Runs whose seed is not set are independent.
    """
    kept: dict[tuple, Run] = {}
    for run in sorted(runs, key=_length, reverse=True):
        seed = run.config.get("seed")
        of_run = run.folder if seed is None else (str(seed), *sorted(_settings(run).items()))
        key = (run.environment, run.task, run.label, of_run)
        if key not in kept:
            kept[key] = run
            continue
        longest = kept[key]
        if run.steps[0] < longest.steps[0] and run.scores.keys() == longest.scores.keys():
            kept[key] = _continued(run, longest)
            why = "and continues it; they are shown as one run"
        else:
            which = "longer" if run.steps[-1] < longest.steps[-1] else "as long"
            why = f"and is {which}; such runs are not independent"
        warnings.append(
            f"{run.folder}: {longest.folder} has the same settings, {longest.name}, {why}."
        )
    found = {run.folder: run for run in kept.values()}
    return [found[run.folder] for run in runs if run.folder in found]


def _length(run: Run) -> tuple[float, float, str]:
    return float(run.steps[-1]), run.span[1] if run.span else 0.0, str(run.folder)


def _continued(run: Run, by: Run) -> Run:
    """A run up to where another one goes on, and that one."""
    before = run.steps < by.steps[0]

    def joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.concatenate([first[before], second])

    scores = {score: joined(run.scores[score], values) for score, values in by.scores.items()}
    return dataclasses.replace(by, steps=joined(run.steps, by.steps), scores=scores)


def tell_apart(runs: list[Run]) -> None:
    """Adds to labels what distinguishes an algorithm's variants on one task.

    That is the settings that differ, if short, else the experiment's folder, else a number. On
    tasks where none do, those variants are named that others tell apart.
    """
    for label in {run.label for run in runs}:
        of_label = [run for run in runs if run.label == label]
        tasks: dict[tuple[str, str], list[dict[str, str]]] = {}
        for run in of_label:
            tasks.setdefault((run.environment, run.task), []).append(_settings(run))
        names = list(dict.fromkeys(n for of in tasks.values() for n in differences.differing(of)))
        told = {
            task: {differences.values(settings, names): None for settings in of}
            for task, of in tasks.items()
        }
        variants = {of_run for of in told.values() if len(of) > 1 for of_run in of}
        values = [(run, differences.values(_settings(run), names)) for run in of_label]
        _name([(run, of_run) for run, of_run in values if of_run in variants], names)


def _name(variants: list[tuple[Run, Values]], names: list[str]) -> None:
    """Adds to the label of each run the text of its values."""
    if not variants:
        return
    every = [of_run for _, of_run in variants]
    brief = differences.short(names, every, SHORT)
    texts = brief or _folders(variants) or differences.numbered(every)
    for run, of_run in variants:
        run.label = f"{run.label} ({texts[of_run]})" if texts[of_run] else run.label
        if not brief:
            run.explained[run.label] = differences.whole(names, of_run)


def _folders(variants: list[tuple[Run, Values]]) -> dict[Values, str] | None:
    """Values -> the experiment's folder; None if one has several, or is that of several."""
    found = {(of_run, run.folder.parent.name) for run, of_run in variants}
    unique = len({folder for _, folder in found}) == len(found) == len({v for v, _ in found})
    return {of_run: printable(folder, 60) for of_run, folder in found} if unique else None


def _settings(run: Run) -> dict[str, str]:
    """Settings in which repetitions of one algorithm on one task are equal.

    A battle may be named in several ways.
    """
    return {
        name: value
        for name, value in differences.flat(run.config).items()
        if name != "seed" and name.split("/")[:2] != ["env_config", "map_name"]
    }
