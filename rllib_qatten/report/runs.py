"""Reads what Tune wrote about runs, finished or not: their evaluations, settings and commands.

The files may be untrusted. Each run is read on its own: a fault in one is only a warning.
"""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.result import (
    EXPR_PARAM_FILE,
    EXPR_PROGRESS_FILE,
    EXPR_RESULT_FILE,
    TIME_TOTAL_S,
    TIMESTAMP,
)

from rllib_qatten import keys
from rllib_qatten.errors import BadInput
from rllib_qatten.files import parse_json, read_bounded
from rllib_qatten.messages import printable
from rllib_qatten.report import differences
from rllib_qatten.report.games import tell_games_apart, title
from rllib_qatten.report.run import Run
from rllib_qatten.report.scores import SCORES, Score, evaluated_games
from rllib_qatten.report.tables import LARGEST, Row, numbers, read_table, too_large
from rllib_qatten.report.variants import once, tell_apart

#: Takes what is counted, how many there are and their unit; gives what to call with how many more
#: are done.
Counting = Callable[[str, int, str], Callable[[int], None]]
#: Package -> where a checkpoint's metadata has its version.
VERSIONS = {"rllib_qatten": "rllib_qatten_version", "ray": "ray_version"}
#: Columns for env steps: this package's key, then those of other RLlib runs.
STEPS = (
    keys.STEPS,
    "env_runners/num_env_steps_sampled_lifetime",
    "num_env_steps_sampled",
    "timesteps_total",
)
#: Characters for which Tune writes an underscore in a trial's folder.
NO_FOLDER = re.compile(r'[/()<>:"\\|?*]')
#: At most this many bytes of a trial's small files are read.
SMALL = 2**20
#: At most this many characters of a name are shown, in legends and file names.
NAME = 60


def uncounted(text: str, total: int, unit: str) -> Callable[[int], None]:
    """Shows nothing."""
    return lambda more: None


def read_all(paths: Iterable[Path], counting: Counting = uncounted) -> tuple[list[Run], list[str]]:
    """Reads all runs in and below some folders.

    Args:
        paths: The folders.
        counting: Shows how many are read, as `Screen.counting`.

    Returns:
        The usable runs, and a warning for everything that was left out.

    Raises:
        BadInput: If there is no usable run.
    """
    runs: list[Run] = []
    warnings: list[str] = []
    folders = _folders(paths, warnings)
    on_run = counting("reading", len(folders), "runs") if folders else None
    for folder in folders:
        try:
            runs.append(_read(folder, warnings))
        except BadInput as error:
            warnings.append(str(error))
        if on_run:
            on_run(1)
    if not runs:
        raise BadInput("\n".join(["no run can be reported.", *warnings]))
    tell_games_apart(runs)
    runs = once(runs, warnings)
    tell_apart(runs)
    runs.sort(key=lambda run: (run.environment, run.task, run.label, str(run.folder)))
    return runs, warnings


def _folders(paths: Iterable[Path], warnings: list[str]) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            problem = "is a file; give the run's folder" if path.exists() else "no such folder"
            warnings.append(f"{path}: {problem}.")
            continue
        files = [f for name in (EXPR_PROGRESS_FILE, EXPR_RESULT_FILE) for f in path.rglob(name)]
        if not files:
            names = f"{EXPR_PROGRESS_FILE} or {EXPR_RESULT_FILE}"
            warnings.append(f"{path}: no run in it: there is no {names} in or below it.")
        found |= dict.fromkeys(file.parent.resolve() for file in sorted(files))
    return list(found)


def _read(folder: Path, warnings: list[str]) -> Run:
    table, problems = read_table(folder)
    warnings += [f"{folder}: {problem}." for problem in problems]
    if not table:
        raise BadInput(f"{folder}: no result yet.")
    columns = numbers(table)
    if large := too_large(table):
        shown = ", ".join(printable(name, NAME) for name in large[:3])
        more = f" and {len(large) - 3} more" if len(large) > 3 else ""
        warnings.append(f"{folder}: numbers beyond {LARGEST:g} are left out: {shown}{more}.")
    steps = _first(columns, STEPS)
    if steps is None:
        raise BadInput(f"{folder}: no column of env steps: expected {' or '.join(STEPS)}.")
    scores, evaluated = _scores(columns, "evaluation"), True
    if not scores:
        scores, evaluated = _scores(columns, "exploring"), False
        if not scores:
            wanted = f"{keys.GREEDY_RETURN} or {keys.RETURN}"
            raise BadInput(f"{folder}: neither win rates nor returns yet: expected {wanted}.")
        warnings.append(f"{folder}: no evaluations: its exploring games are shown.")
    for name, values in scores.items():
        warnings += _impossible(folder, SCORES[name], values)
    measured = _measured(steps, scores)
    if not measured.any():
        raise BadInput(f"{folder}: no evaluation that has both its env steps and its scores.")
    config = _settings(folder, table[-1])
    warnings += _changed(folder, config, table)
    env = str(config.get("env", "unknown"))
    engine = next((row[keys.ENGINE] for row in table if row.get(keys.ENGINE)), None)
    record = _json(folder, keys.RECORD_FILE)
    algorithm = printable(record.get("algorithm") or _named_algorithm(folder, env), NAME)
    return Run(
        folder=folder,
        algorithm=algorithm,
        label=algorithm if evaluated else f"{algorithm}, exploring",
        environment=printable(engine or env, NAME),
        task=printable(title(config), NAME),
        config=config,
        about=_about(folder, record, table[-1]),
        steps=steps[measured],
        scores={key: values[measured] for key, values in scores.items()},
        games=evaluated_games(config, engine) if evaluated else "exploring",
        columns=columns,
        span=_span(folder, columns),
    )


def _changed(folder: Path, config: dict[str, Any], table: list[Row]) -> list[str]:
    """A warning about settings that were not the same in all results of a run."""
    found = [_dict(row.get("config")) for row in table]
    settings = [
        differences.flat({key: of_row[key] for key in config.keys() & of_row.keys()})
        for of_row in found
        if of_row
    ]
    shown = []
    for name in differences.differing(settings):
        values = dict.fromkeys(of_row.get(name, "unset") for of_row in settings)
        shown.append(f"{name} {' -> '.join(values)}")
    if not shown:
        return []
    what = printable(", ".join(sorted(shown)), differences.LONGEST)
    return [
        f"{folder}: its settings changed while it trained, as population based training does: "
        f"{what}; it is shown under the last ones."
    ]


def _impossible(folder: Path, score: Score, values: np.ndarray) -> list[str]:
    """Makes numbers NaN that the score cannot have; returns a warning about them."""
    low, high = score.limits
    wrong = (values < low) | (values > high)
    if not wrong.any():
        return []
    shown = ", ".join(f"{value:g}" for value in values[wrong][:3])
    more = f" and {wrong.sum() - 3} more" if wrong.sum() > 3 else ""
    values[wrong] = np.nan
    return [f"{folder}: evaluations of a {score.title} beyond {low:g} to {high:g}: {shown}{more}."]


def _measured(steps: np.ndarray, scores: dict[str, np.ndarray]) -> np.ndarray:
    """[R] which results have all scores, at valid steps that do not decrease."""
    whole = np.isfinite([steps, *scores.values()]).all(axis=0) & (np.nan_to_num(steps) >= 0)
    highest = np.maximum.accumulate(np.where(whole, steps, -np.inf))
    kept: np.ndarray = whole & (steps >= highest)
    return kept


def _first(columns: dict[str, np.ndarray], names: Iterable[str]) -> np.ndarray | None:
    return next((columns[name] for name in names if name in columns), None)


def _scores(columns: dict[str, np.ndarray], games: str) -> dict[str, np.ndarray]:
    """The scores that were measured in evaluations or in exploring games."""
    found = {name: _first(columns, getattr(score, games)) for name, score in SCORES.items()}
    return {score: column for score, column in found.items() if column is not None}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _settings(folder: Path, last: Row) -> dict[str, Any]:
    """A trial's settings, from their file or its last result.

    Raises:
        BadInput: If there are none, without which its task and seed are unknown.
    """
    try:
        found = parse_json(read_bounded(folder / EXPR_PARAM_FILE, SMALL, inside=folder))
        problem = None if isinstance(found, dict) else "it holds no settings"
    except (OSError, ValueError) as error:
        found, problem = {}, (isinstance(error, OSError) and error.strerror) or str(error)
    config = _dict(found) or _dict(last.get("config"))
    if problem and not config:
        raise BadInput(
            f"{folder}: {EXPR_PARAM_FILE} cannot be read: {printable(problem, 200)}; so its task, "
            "settings and seed are unknown."
        )
    return config


def _text(folder: Path, name: str) -> str | None:
    """A small file of a trial; None if it is missing or cannot be read.

    Links out of the folder are not followed: their targets would end up in the page.
    """
    try:
        return read_bounded(folder / name, SMALL, inside=folder).decode("utf-8", errors="replace")
    except (OSError, ValueError):
        return None


def _json(folder: Path, name: str) -> dict[str, Any]:
    text = _text(folder, name)
    try:
        return _dict(parse_json(text or ""))
    except ValueError:
        return {}


def _named_algorithm(folder: Path, env: str) -> str:
    """The algorithm of a trial without a record: Tune begins its folder with it and the env."""
    named, found, _ = folder.name.partition(f"_{NO_FOLDER.sub('_', env)}_")
    # Of an env that was given as a class, the settings have another name than the folder.
    return named if found else named.split("_")[0]


def _about(folder: Path, record: dict[str, Any], last: Row) -> dict[str, str]:
    """How a run was made: from its record, or what else is known of one that has none.

    Args:
        folder: The trial's.
        record: Its record.
        last: Its last result.
    """
    versions = _dict(record.get("versions")) or _versions(folder)
    known = {
        "date": record.get("date") or last.get("date") or _named_date(folder),
        "commit": record.get("commit"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "machine": ", ".join(map(str, _dict(record.get("machine")).values())),
        "command": (_text(folder, keys.COMMAND_FILE) or str(record.get("command") or "")).strip(),
    }
    missing = {"command": f"not recorded; experiment {folder.parent.name}"}
    return {
        name: printable(text or missing.get(name, "not recorded"), 2000)
        for name, text in known.items()
    }


def _named_date(folder: Path) -> str | None:
    """When Tune made a trial's folder, whose name ends with it."""
    found = re.search(r"_(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)-(\d\d)$", folder.name)
    return found and f"{found[1]} {found[2]}:{found[3]}:{found[4]}"


def _span(folder: Path, columns: dict[str, np.ndarray]) -> tuple[float, float] | None:
    """When a run began and ended: by its last result, or else by its folder's name."""
    if TIME_TOTAL_S not in columns:
        return None
    took = float(np.nanmax(columns[TIME_TOTAL_S]))
    if TIMESTAMP in columns:
        ended = float(np.nanmax(columns[TIMESTAMP]))
        return ended - took, ended
    with contextlib.suppress(ValueError, OverflowError):  # no date, or none that there is
        began = datetime.datetime.fromisoformat(_named_date(folder) or "").timestamp()
        return began, began + took
    return None


def _versions(folder: Path) -> dict[str, Any]:
    """Of an older run, those in its newest checkpoint."""
    files = sorted(folder.glob("checkpoint_*/rllib_checkpoint.json"))
    about = _json(folder, str(files[-1].relative_to(folder))) if files else {}
    return {name: about[key] for name, key in VERSIONS.items() if key in about}
