"""Names for runs of one algorithm with different settings, which are not repetitions."""

from __future__ import annotations

from collections.abc import Iterable

from ray.tune.utils import flatten_dict

from rllib_qatten.messages import printable
from rllib_qatten.report.run import Run

#: Settings in which repetitions of one algorithm on one task may differ.
NOT_A_VARIANT = ("seed", "env_config/map_name")
#: The longest list of settings in a label, in characters.
SHORT = 24
UNSET = ""


def tell_apart(runs: list[Run]) -> None:
    """Adds to labels what distinguishes an algorithm's variants on one task.

    That is the settings that differ, if short, else the experiment's folder, else a number.
    """
    for label in {run.label for run in runs}:
        of_label = [run for run in runs if run.label == label]
        flat = [_settings(run) for run in of_label]
        if differing := _differing(of_label, flat):
            values = [tuple(settings.get(n, UNSET) for n in differing) for settings in flat]
            texts = _texts(of_label, values, differing)
            for run, of_run in zip(of_label, values, strict=True):
                run.label = f"{label} ({texts[of_run]})" if texts[of_run] else label


def _differing(runs: list[Run], flat: list[dict[str, str]]) -> list[str]:
    """Settings in which runs on one task differ."""
    differing: dict[str, None] = {}
    for task in {(run.environment, run.task) for run in runs}:
        here = [
            settings
            for run, settings in zip(runs, flat, strict=True)
            if (run.environment, run.task) == task
        ]
        names = dict.fromkeys(name for settings in here for name in settings)
        differing |= {n: None for n in names if len({s.get(n, UNSET) for s in here}) > 1}
    return list(differing)


def _texts(
    runs: list[Run], values: list[tuple[str, ...]], names: list[str]
) -> dict[tuple[str, ...], str]:
    """Values of the settings that differ -> their text in a label."""
    texts = {of_run: _short(names, of_run) for of_run in values}
    if max(map(len, texts.values())) <= SHORT:
        return texts
    folders = {(of_run, run.folder.parent.name) for run, of_run in zip(runs, values, strict=True)}
    if len({folder for _, folder in folders}) == len(folders) == len(texts):
        return {of_run: printable(folder, 60) for of_run, folder in folders}
    return {of_run: f"#{i}" for i, of_run in enumerate(texts, start=1)}


def _short(names: Iterable[str], values: Iterable[str]) -> str:
    given = [(n.split("/")[-1], v) for n, v in zip(names, values, strict=True) if v != UNSET]
    return printable(", ".join(f"{name} {value}" for name, value in given))


def _settings(run: Run) -> dict[str, str]:
    flat = flatten_dict({**run.config})
    return {name: str(value) for name, value in flat.items() if name not in NOT_A_VARIANT}
