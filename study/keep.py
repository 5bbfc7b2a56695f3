"""Runs as small files in docs/results: evaluations, settings, record; `rllib report` reads them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ray.tune.result import (
    EXPR_PARAM_FILE,
    EXPR_PROGRESS_FILE,
    TIME_THIS_ITER_S,
    TIME_TOTAL_S,
    TRAINING_ITERATION,
)

from rllib_qatten import keys
from rllib_qatten.algorithms.recipes import RECIPES
from rllib_qatten.envs.battles.armies import with_one_name
from rllib_qatten.errors import BadInput
from rllib_qatten.files import replacing
from rllib_qatten.report import runs
from rllib_qatten.report.run import Run
from rllib_qatten.report.tables import number, read_table
from study import trial

#: Of a run's hundred columns, those that its curves, its table and its speed are made of.
COLUMNS = (
    TRAINING_ITERATION,
    keys.STEPS,
    keys.NUM_UPDATES,
    TIME_THIS_ITER_S,
    TIME_TOTAL_S,
    keys.WINS,
    keys.RETURN,
    f"{keys.LEARNER}/{keys.LOSS}",
    keys.GREEDY_WINS,
    keys.GREEDY_RETURN,
)
#: Significant digits of a number.
DIGITS = 5


class _Kept(NamedTuple):
    """What is written of a run."""

    run: Run
    rows: list[dict[str, Any]]
    settings: dict[str, Any]
    record: dict[str, Any]


def keep(paths: Iterable[Path], results: Path) -> tuple[list[Path], list[str]]:
    """Writes the runs in and below some folders, each to a folder of its own.

    A run that is kept already, of the same settings, is replaced, so that one may be kept while it
    still trains.

    Returns:
        The folders, and warnings about what was left out.

    Raises:
        BadInput: If there is no run, one is not of a battle or not evaluated yet, or another one of
            the same name but other settings is kept. Nothing is written then.
    """
    found, warnings = runs.read_all(paths)
    kept: dict[Path, _Kept] = {}
    for made in map(_read, found):
        run, _, settings, _ = made
        seed = settings.get("seed")
        name = f"{run.algorithm}_{settings['env']}_{settings['agent']}_seed={seed}"
        folder = results / run.task / name
        earlier = kept[folder].settings if folder in kept else trial.settings(folder)
        alike = map(with_one_name, (earlier or settings, settings))
        if len({json.dumps(of_run, sort_keys=True) for of_run in alike}) > 1:
            raise BadInput(
                f"{run.folder}: another run of {run.algorithm} on {run.task} with seed {seed} and "
                f"other settings is kept in {folder}: remove that one first, or choose another "
                "seed."
            )
        kept[folder] = made
    for folder, made in kept.items():
        folder.mkdir(parents=True, exist_ok=True)
        write(folder, *made[1:])
    return list(kept), warnings


def _read(run: Run) -> _Kept:
    """What is kept of a run.

    Raises:
        BadInput: If the study's tables have no place for it.
    """
    if run.config.get("env") != "smac" or "win_rate" not in run.scores:
        raise BadInput(
            f"{run.folder}: the study's tables are of win rates in battles, env: smac; this run of "
            f"{run.config.get('env')} has {' and '.join(run.scores)}: leave it out."
        )
    if run.games == "exploring":
        raise BadInput(f"{run.folder}: has not been evaluated yet: keep it after its evaluation.")
    rows, _ = read_table(run.folder)
    # What a recipe chooses stands in no experiment; who reads the table wants to know the agent.
    recipe = RECIPES.get(run.config.get("recipe", ""), {})
    whole = rows[-1].get("config") or {}
    agents = [chosen["agent"] for chosen in (whole, run.config, recipe) if "agent" in chosen]
    settings = {**run.config, "agent": [*agents, "recurrent"][0]}
    known = {"algorithm": run.algorithm, **trial.record(run.folder)}
    return _Kept(run, rows, settings, known)


def write(
    folder: Path, rows: list[dict[str, Any]], settings: dict[str, Any], record: dict[str, Any]
) -> None:
    """Writes a run's files into a folder that exists.

    Args:
        folder: The run's.
        rows: Its results by the names of `COLUMNS`; `engine` in the first one is enough.
        settings: Its part of the experiment's config.
        record: Algorithm, date, commit, versions, machine and command, as far as they are known.
    """
    engine = next((row[keys.ENGINE] for row in rows if row.get(keys.ENGINE)), "")
    columns = [name for name in COLUMNS if any(name in row for row in rows)]
    with replacing(folder / EXPR_PROGRESS_FILE) as file:
        with open(file, "w", newline="", encoding="utf-8") as opened:
            lines = csv.writer(opened, lineterminator="\n")
            lines.writerow([*columns, keys.ENGINE])
            for row in rows:
                lines.writerow([*(_short(row.get(name)) for name in columns), engine])
    for name, content in ((EXPR_PARAM_FILE, settings), (keys.RECORD_FILE, record)):
        with replacing(folder / name) as file:
            text = json.dumps(content, indent=1, sort_keys=name == EXPR_PARAM_FILE)
            file.write_text(f"{text}\n", encoding="utf-8")


def _short(value: Any) -> str:
    found = number(value)
    if found != found:
        return ""
    return str(int(found)) if found == int(found) else f"{found:.{DIGITS}g}"
