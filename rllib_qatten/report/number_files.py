"""A table of the page as files: CSV for programs, Markdown for notes, LaTeX for papers."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

#: What LaTeX and Markdown would not print as it stands.
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    # At the beginning of a row, the end of the one before would take them as its own.
    "[": "{[}",
    "*": "{*}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#])")


class Table(NamedTuple):
    """A table of the page.

    Attributes:
        head: The columns' titles.
        rows: Text cells.
        numbers: Which columns hold numbers, which stand flush right.
        records: The same rows for programs, in full precision.
    """

    head: list[str]
    rows: list[list[str]]
    numbers: range
    records: list[dict[str, Any]]


def write(folder: Path, name: str, table: Table) -> None:
    """Writes a table as `name`.csv, .md and .tex into a folder."""
    with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, dict.fromkeys(key for row in table.records for key in row))
        writer.writeheader()
        writer.writerows(table.records)
    cells = table.head, table.rows, table.numbers
    (folder / f"{name}.md").write_text(_markdown(*cells), encoding="utf-8")
    (folder / f"{name}.tex").write_text(_latex(*cells), encoding="utf-8")


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: range) -> str:
    rule = ["---:" if i in numbers else "---" for i in range(len(head))]
    cells = [[MARKDOWN.sub(r"\\\1", cell) for cell in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, rule, *cells])


def _latex(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: range) -> str:
    """For the package booktabs."""
    columns = "".join("r" if i in numbers else "l" for i in range(len(head)))

    def line(row: Sequence[str]) -> str:
        cells = ("".join(LATEX.get(character, character) for character in cell) for cell in row)
        # Two hyphens would become a dash.
        return re.sub("-(?=-)", "-{}", f"{' & '.join(cells)} \\\\\n")

    body = "".join(map(line, rows))
    return (
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{line(head)}\\midrule\n{body}"
        "\\bottomrule\n\\end{tabular}\n"
    )
