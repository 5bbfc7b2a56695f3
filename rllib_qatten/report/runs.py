"""Reads what Tune wrote about runs, ended or not: their evaluations, settings and commands."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.result import (
    EXPR_PARAM_FILE,
    EXPR_PROGRESS_FILE,
    EXPR_RESULT_FILE,
    TRAINING_ITERATION,
)
from ray.tune.utils import flatten_dict

from rllib_qatten import keys
from rllib_qatten.envs.battles.armies import short_name
from rllib_qatten.errors import BadInput
from rllib_qatten.report.variants import tell_apart

#: In a trial's folder: the command that started it.
COMMAND_FILE = "command.txt"
#: Package -> where a checkpoint's metadata has its version.
VERSIONS = {"rllib_qatten": "rllib_qatten_version", "ray": "ray_version"}
#: Where a column is looked for: our promised key, then what other RLlib runs call it.
STEPS = (
    keys.STEPS,
    "env_runners/num_env_steps_sampled_lifetime",
    "num_env_steps_sampled",
    "timesteps_total",
)
#: Score -> its columns; first of greedy games, then of exploring ones.
GREEDY = {
    "win_rate": (keys.GREEDY_WINS, "evaluation/win_rate"),
    "return": (
        keys.GREEDY_RETURN,
        "evaluation/env_runners/episode_reward_mean",
        "evaluation/episode_reward_mean",
    ),
}
EXPLORING = {
    "win_rate": (keys.WINS, "win_rate"),
    "return": (keys.RETURN, "env_runners/episode_reward_mean", "episode_reward_mean"),
}


@dataclasses.dataclass
class Run:
    """One trial.

    Attributes:
        folder: Where its files are.
        label: Algorithm, and what tells it from its variants.
        environment: What played, with its version where it is known.
        task: Map, or the environment's own name.
        config: Settings as the trial got them.
        command: What started it, as far as known.
        versions: Of the packages that trained it, as its checkpoints say.
        steps: Env steps at each evaluation, rising, [E].
        scores: "win_rate" (battles only) and "return" -> one number an evaluation, [E].
        greedy: Whether these are greedy games; else exploring ones.
        columns: Every numeric column -> one number a result, NaN where it has none, [R].
    """

    folder: Path
    label: str
    environment: str
    task: str
    config: dict[str, Any]
    command: str
    versions: str
    steps: np.ndarray
    scores: dict[str, np.ndarray]
    greedy: bool
    columns: dict[str, np.ndarray]

    @property
    def name(self) -> str:
        """What a reader tells it by: its seed, or else its folder."""
        seed = self.config.get("seed")
        return self.folder.name if seed is None else f"seed {seed}"

    def final(self, score: str) -> float:
        """Mean of the last five evaluations; NaN if the score was not measured."""
        values = self.scores.get(score)
        return float("nan") if values is None else float(np.mean(values[-keys.LAST :]))


def read_all(paths: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """Reads all runs in and below some folders.

    Returns:
        The usable runs, and a warning for all that was left out.

    Raises:
        BadInput: If there is no usable run.
    """
    runs: list[Run] = []
    warnings: list[str] = []
    for folder in _folders(paths, warnings):
        try:
            runs.append(_read(folder, warnings))
        except BadInput as error:
            warnings.append(str(error))
    if not runs:
        raise BadInput("\n".join(["no run can be reported.", *warnings]))
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
    table, problems = _table(folder)
    warnings += [f"{folder}: {problem}." for problem in problems]
    if not table:
        raise BadInput(f"{folder}: no result yet.")
    columns = _numbers(table)
    steps = _first(columns, STEPS)
    if steps is None:
        raise BadInput(f"{folder}: no column of env steps: expected {' or '.join(STEPS)}.")
    scores, greedy = _scores(columns, GREEDY), True
    if not scores:
        scores, greedy = _scores(columns, EXPLORING), False
        if not scores:
            wanted = f"{keys.GREEDY_RETURN} or {keys.RETURN}"
            raise BadInput(f"{folder}: neither win rates nor returns yet: expected {wanted}.")
        warnings.append(f"{folder}: no evaluations: its exploring games are shown.")
    measured = np.isfinite([steps, *scores.values()]).all(axis=0)
    config = _json(folder / EXPR_PARAM_FILE) or table[-1].get("config") or {}
    env, env_config = str(config.get("env", "unknown")), config.get("env_config") or {}
    engine = next((row[keys.ENGINE] for row in table if row.get(keys.ENGINE)), env)
    # Tune names a trial's folder so.
    algorithm = folder.name.split(f"_{env}_")[0].split("_")[0]
    return Run(
        folder=folder,
        label=algorithm if greedy else f"{algorithm}, exploring",
        environment=str(engine),
        task=short_name(env_config.get("map_name", env)),
        config=config,
        command=_command(folder),
        versions=_versions(folder),
        steps=steps[measured],
        scores={key: values[measured] for key, values in scores.items()},
        greedy=greedy,
        columns=columns,
    )


def _table(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of a trial, with what is wrong with its files.

    result.json goes first: progress.csv has only the columns that its first row had.
    """
    problems: list[str] = []
    for file, parse in ((EXPR_RESULT_FILE, _parse_json), (EXPR_PROGRESS_FILE, _parse_csv)):
        try:
            text = (folder / file).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(f"{file} cannot be read: {error.strerror}")
            continue
        *lines, cut = text.replace("\r", "").split("\n")
        rows, broken = parse([line for line in lines if line.strip()])
        problems += [f"{file}: the last line is cut and left out"] if cut else []
        problems += [f"{file}: {broken} broken lines are left out"] if broken else []
        if rows:
            return _forward(rows), problems
    return [], problems


def _parse_csv(lines: list[str]) -> tuple[list[dict[str, Any]], int]:
    rows = list(csv.reader(lines))
    good = [dict(zip(rows[0], row, strict=True)) for row in rows[1:] if len(row) == len(rows[0])]
    return good, len(rows[1:]) - len(good)


def _parse_json(lines: list[str]) -> tuple[list[dict[str, Any]], int]:
    rows = []
    for line in lines:
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict):
                config = row.pop("config", None)
                rows.append(flatten_dict(row) | {"config": config})
    return rows, len(lines) - len(rows)


def _forward(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the rows that a restored trial played again later."""
    kept: list[dict[str, Any]] = []
    for row in reversed(rows):
        iteration = _number(row.get(TRAINING_ITERATION))
        if not kept or not iteration >= _number(kept[-1].get(TRAINING_ITERATION)):
            kept.append(row)
    return kept[::-1]


def _numbers(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Every column with a number in it -> its numbers, NaN where a row has none."""
    names = dict.fromkeys(key for row in rows for key in row)
    columns = {name: np.array([_number(row.get(name)) for row in rows]) for name in names}
    return {name: column for name, column in columns.items() if np.isfinite(column).any()}


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _first(columns: dict[str, np.ndarray], names: Iterable[str]) -> np.ndarray | None:
    return next((columns[name] for name in names if name in columns), None)


def _scores(
    columns: dict[str, np.ndarray], where: dict[str, tuple[str, ...]]
) -> dict[str, np.ndarray]:
    found = {score: _first(columns, names) for score, names in where.items()}
    return {score: column for score, column in found.items() if column is not None}


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _command(folder: Path) -> str:
    with contextlib.suppress(OSError):
        return (folder / COMMAND_FILE).read_text(encoding="utf-8").strip()
    return f"not recorded; experiment {folder.parent.name}"


def _versions(folder: Path) -> str:
    files = sorted(folder.glob("checkpoint_*/rllib_checkpoint.json"))
    about = _json(files[-1]) if files else {}
    known = [f"{n} {about[k]}" for n, k in VERSIONS.items() if k in about]
    return ", ".join(known) or "versions not recorded"
