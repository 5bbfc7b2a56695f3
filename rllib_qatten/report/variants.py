"""Names for runs of one algorithm with different settings, which are no repetitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ray.tune.utils import flatten_dict

if TYPE_CHECKING:
    from rllib_qatten.report.runs import Run

#: Settings by which runs of one algorithm on one task may differ and still be its repetitions.
NOT_A_VARIANT = ("seed", "env_config/map_name")
#: Longest list of settings that a label takes.
SHORT = 24
UNSET = ""


def tell_apart(runs: list[Run]) -> None:
    """Adds to the labels what tells an algorithm's variants on one task from each other.

    The settings that differ where they are short, else the experiment's folder, else a number.
    """
    for label in {run.label for run in runs}:
        mine = [run for run in runs if run.label == label]
        flat = {id(run): _settings(run) for run in mine}
        differing: dict[str, None] = {}
        for place in {(run.environment, run.task) for run in mine}:
            here = [flat[id(run)] for run in mine if (run.environment, run.task) == place]
            names = dict.fromkeys(name for settings in here for name in settings)
            differing |= {n: None for n in names if len({s.get(n, UNSET) for s in here}) > 1}
        if not differing:
            continue
        variants = {id(run): tuple(flat[id(run)].get(n, UNSET) for n in differing) for run in mine}
        order = list(dict.fromkeys(variants.values()))
        folders = {(variants[id(run)], run.folder.parent.name) for run in mine}
        texts = {values: _short(differing, values) for values in order}
        for run in mine:
            values = variants[id(run)]
            text = texts[values]
            if max(map(len, texts.values())) > SHORT:
                by_folder = len({f for _, f in folders}) == len(folders) == len(order)
                text = run.folder.parent.name if by_folder else f"#{order.index(values) + 1}"
            run.label = f"{label} ({text})" if text else label


def _short(names: Iterable[str], values: Iterable[str]) -> str:
    given = [(n.split("/")[-1], v) for n, v in zip(names, values, strict=True) if v != UNSET]
    return ", ".join(f"{name} {value}" for name, value in given)


def _settings(run: Run) -> dict[str, str]:
    flat = flatten_dict({**run.config})
    return {name: str(value) for name, value in flat.items() if name not in NOT_A_VARIANT}
