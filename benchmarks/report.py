"""The rows as they are shown: a table on the screen, JSON, and Markdown."""

from __future__ import annotations

import json
import os
from itertools import groupby
from pathlib import Path

import torch
from rich.markup import escape
from rich.table import Table

from benchmarks.turns import Row
from rllib_qatten.hardware.machine import processor
from rllib_qatten.hardware.product_choice import choice

MARKS = "<!-- measured -->", "<!-- end of measured -->"
COLUMNS = "median [low..high]", "unit", "ratio", "of", "goal"


def machine() -> str:
    """What the numbers belong to."""
    fewest = choice().onednn_from
    products = "torch" if fewest is None else f"oneDNN from {fewest} rows"
    return (
        f"{processor()}, {os.cpu_count()} cores; {torch.get_num_threads()} torch thread, "
        f"torch {torch.__version__}, products by {products}"
    )


def cells(row: Row) -> tuple[str, ...]:
    """A row's texts: name, then `COLUMNS`."""
    value = row.note
    if row.value is not None:
        size = abs(row.value.median)
        value = row.value.text(0 if size > 1000 else 1 if size >= 1 else 3)
    ratio = row.ratio.text(2) if row.ratio else ""
    return row.name, value, row.unit, ratio, row.against, goal(row)


def goal(row: Row) -> str:
    """Whether the ratio reached its goal and, if one is set, what is good."""
    if row.ratio is None or row.goal is None:
        return ""
    reached = row.ratio.median
    if row.good is not None and reached >= row.good:
        return f"{row.good:.3g}: good"
    text = f"{row.goal:.3g}: {'met' if reached >= row.goal else 'missed'}"
    return text if row.good is None else f"{text}, good from {row.good:.3g}"


def table(rows: list[Row]) -> Table:
    """For the screen."""
    result = Table("", *COLUMNS)
    for _, part in groupby(rows, key=lambda row: row.part):
        result.add_section()
        for row in part:
            result.add_row(*map(escape, cells(row)))
    return result


def markdown(rows: list[Row], below: str) -> str:
    """For the README: one table a part, goals in the last column."""
    lines = []
    for part, group in groupby(rows, key=lambda row: row.part):
        lines += [f"| {part} | {' | '.join(COLUMNS)} |", "| --- " * (len(COLUMNS) + 1) + "|"]
        lines += [f"| {' | '.join(cells(row))} |" for row in group]
        lines.append("")
    return "\n".join([*lines, below, ""])


def save_markdown(text: str, file: Path) -> None:
    """Writes the text; in a file with a pair of `MARKS`, between these."""
    old = file.read_text() if file.exists() else ""
    before, begin, rest = old.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    file.write_text(f"{before}{begin}\n\n{text}\n{end}{after}" if end else text)


def to_json(rows: list[Row], about: str) -> str:
    """With all digits."""
    return json.dumps({"machine": about, "rows": [row.as_dict() for row in rows]}, indent=1) + "\n"
