"""Output of commands that quotes untrusted files: no markup, no control characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rllib_qatten.messages import printable


def line(text: object, style: str | None = None) -> None:
    """Prints a line, whatever the terminal's width."""
    _console().print(printable(text, longest=2000), soft_wrap=True, style=style)


def paragraph(text: str) -> None:
    """Prints text below a line, indented and wrapped."""
    if text:
        _console().print(Padding(Text(printable(text, 2000)), (0, 0, 0, 4)), style="dim")


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], numbers: bool = True, gap: int = 2
) -> None:
    """Prints a table; all columns except the first are numbers, or text as the first.

    Args:
        head: The columns' titles.
        rows: The cells.
        numbers: Whether they are numbers, which stand flush right.
        gap: Spaces between two columns.
    """
    grid = Table(box=None, padding=(0, gap) if numbers else (0, gap, 0, 0), pad_edge=numbers)
    grid.add_column(head[0], no_wrap=True)
    for title in head[1:]:
        grid.add_column(title, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        grid.add_row(*map(printable, row))
    _console().print(grid)


def _console() -> Console:
    return Console(markup=False, emoji=False, highlight=False)
