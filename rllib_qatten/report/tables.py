"""The results of a trial as rows, from files of Tune or of an untrusted source.

Sizes are bounded: a file over a limit is reported, and the next one is tried.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.result import EXPR_PROGRESS_FILE, EXPR_RESULT_FILE, TRAINING_ITERATION
from ray.tune.utils import flatten_dict

from rllib_qatten.files import parse_json, read_bounded

#: Limits on the bytes of a results file, its columns, and a trial's cells: far above what training
#: writes (a row of 20 kB and 300 columns per iteration).
TABLE_LIMIT, COLUMNS_LIMIT, CELLS_LIMIT = 2**28, 10_000, 20_000_000
#: No number of a run is this large, and sums of such numbers are still finite.
LARGEST = 1e18

Row = dict[str, Any]


def read_table(folder: Path) -> tuple[list[Row], list[str]]:
    """The rows of a trial, with what is wrong with its files.

    result.json takes precedence: progress.csv only has the columns of its first row.
    """
    problems: list[str] = []
    for file, parse in ((EXPR_RESULT_FILE, _parse_json), (EXPR_PROGRESS_FILE, _parse_csv)):
        try:
            content = read_bounded(folder / file, TABLE_LIMIT, inside=folder)
            text = content.decode("utf-8", errors="replace")
            *lines, cut = text.replace("\r", "").split("\n")
            lines = [line for line in lines if line.strip()]
            rows = list(parse(lines))
            _assert_bounded(rows)
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(f"{file} cannot be read: {error.strerror}")
            continue
        except ValueError as error:
            problems.append(f"{file} cannot be read: {error}")
            continue
        broken = len(lines) - (file == EXPR_PROGRESS_FILE and bool(lines)) - len(rows)
        problems += [f"{file}: the last line is cut short and was skipped"] if cut else []
        many = "1 broken line was" if broken == 1 else f"{broken} broken lines were"
        problems += [f"{file}: {many} skipped"] if broken > 0 else []
        if rows:
            return _forward(rows), problems
    return [], problems


def numbers(rows: list[Row]) -> dict[str, np.ndarray]:
    """Every column with a number in it -> its numbers [R], NaN if a row has none."""
    names = dict.fromkeys(key for row in rows for key in row)
    columns = {name: np.array([number(row.get(name)) for row in rows]) for name in names}
    return {name: column for name, column in columns.items() if np.isfinite(column).any()}


def number(value: Any) -> float:
    """A finite number of bounded size; NaN for anything else."""
    found = _float(value)
    return found if abs(found) <= LARGEST else math.nan


def too_large(rows: list[Row]) -> list[str]:
    """The columns with numbers that `number` leaves out for their size, infinity included."""
    names = {key for row in rows for key in row if abs(_float(row[key])) > LARGEST}
    return sorted(names)


def _float(value: Any) -> float:
    if isinstance(value, str) and "_" in value:  # Tune's trial 6e260_00000: a number for Python
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
    except OverflowError:  # an integer of JSON's, which may have any length
        return math.inf


def _assert_bounded(rows: list[Row]) -> None:
    names = {key for row in rows for key in row}
    if len(names) > COLUMNS_LIMIT or len(names) * len(rows) > CELLS_LIMIT:
        raise ValueError(f"it has {len(rows):,} rows of {len(names):,} columns")


def _parse_csv(lines: list[str]) -> list[Row]:
    rows = _rows(lines)
    if len(rows) < len(lines) - 1:
        # A stray quote takes the lines up to the next quote for one field; by itself, a line costs
        # no others.
        rows = max(rows, _rows(*([line] for line in lines)), key=len)
    return rows


def _rows(*tables: list[str]) -> list[Row]:
    """The rows of tables that share the first one's head and may be broken."""
    head: list[str] | None = None
    found = []
    for lines in tables:
        reader = csv.reader(lines)
        while True:
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error:  # too long a field, unterminated quotes
                continue
            if head is None:
                head = row
            elif len(row) == len(head):
                found.append(dict(zip(head, row, strict=True)))
    return found


def _parse_json(lines: list[str]) -> Iterator[Row]:
    for line in lines:
        try:
            row = parse_json(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            config = row.pop("config", None)
            yield flatten_dict(row) | {"config": config}


def _forward(rows: list[Row]) -> list[Row]:
    """Drops the rows that a restored trial repeated later."""
    kept: list[Row] = []
    for row in reversed(rows):
        iteration = number(row.get(TRAINING_ITERATION))
        if not kept or not iteration >= number(kept[-1].get(TRAINING_ITERATION)):
            kept.append(row)
    return kept[::-1]
