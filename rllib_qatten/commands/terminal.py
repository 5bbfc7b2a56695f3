"""Output of commands that quotes untrusted files: no markup, no control characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rllib_qatten.messages import printable

#: Columns whose cells are longer than this fold at this width at the narrowest.
NARROWEST = 8


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
    """Prints a table, or a paragraph per row where the terminal is too narrow for one.

    All columns except the first are numbers, or text as the first.

    Args:
        head: The columns' titles.
        rows: The cells.
        numbers: Whether they are numbers, which stand flush right.
        gap: Spaces between two columns.
    """
    console, texts = _console(), [[printable(cell) for cell in row] for row in rows]
    first, *others = (max(map(cell_len, column)) for column in zip(head, *texts, strict=True))
    least = [first, *(min(width, NARROWEST) for width in others)]
    if sum(least) + gap * len(least) > console.width:
        for name, *cells in texts:
            console.print(name)
            for title, cell in zip(head[1:], cells, strict=True):
                console.print(Padding(Text(f"{title}: {cell}"), (0, 0, 0, 2), expand=False))
        return
    grid = Table(box=None, padding=(0, gap) if numbers else (0, gap, 0, 0), pad_edge=numbers)
    grid.add_column(head[0], no_wrap=True)
    for title, width in zip(head[1:], least[1:], strict=True):
        justify: Literal["right", "left"] = "right" if numbers else "left"
        grid.add_column(title, justify=justify, overflow="fold", min_width=width)
    for row in texts:
        grid.add_row(*row)
    console.print(grid)


def _console() -> Console:
    return Console(markup=False, emoji=False, highlight=False)
