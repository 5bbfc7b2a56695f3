"""What a command shows while it works: lines that stay, and on a terminal a live one below them.

Imports nothing that takes long, so that the first word comes at once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import typer
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Column, Table
from rich.text import Text

from rllib_qatten.errors import BadInput, one_of
from rllib_qatten.experiment.rows import clock
from rllib_qatten.messages import printable

#: What `--progress` takes; "auto" is "live" on a terminal, else "plain".
KINDS = ("auto", "live", "plain", "json")
PER_SECOND = 8


class Screen:
    """Lines, and a status line below them where the output is a terminal.

    Args:
        kind: One of `KINDS`.

    Attributes:
        width: Of the terminal; None if there is none.
        json: Whether standard output is for machines: only lines of JSON.
    """

    def __init__(self, kind: str = "auto") -> None:
        """Checks the kind.

        Raises:
            BadInput: For another one, or for "live" without a terminal.
        """
        try:
            one_of(kind, KINDS, "kind of progress")
        except ValueError as error:
            raise BadInput(f"--progress: {error}") from error
        terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        if kind == "live" and not terminal:
            raise BadInput("--progress live needs a terminal; use plain, or json for programs.")
        self.json = kind == "json"
        self._console = Console(highlight=False, markup=False, emoji=False)
        self.width = self._console.width if terminal else None
        self._live: Live | None = None
        self._spinner = Spinner("dots")
        self._doing = ""
        self._since = time.monotonic()
        self._cells: list[str] = []
        self._share: float | None = None
        self._ends: float | None = None
        if terminal and kind in ("auto", "live"):
            self._live = Live(
                get_renderable=self._render,
                console=self._console,
                refresh_per_second=PER_SECOND,
                transient=True,
                redirect_stdout=True,
                redirect_stderr=sys.stderr.isatty(),
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Tune saves its callbacks; in a later process the terminal is another one."""
        return Screen, ("plain",)

    @property
    def live(self) -> bool:
        """Whether there is a status line."""
        return self._live is not None

    def __enter__(self) -> Self:
        """Shows the status line."""
        if self._live:
            self._live.start()
            # A process that is killed would leave the terminal without a cursor.
            self._console.show_cursor(True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """See `close`."""
        self.close()

    def close(self) -> None:
        """Takes the status line away."""
        if self._live:
            self._live.stop()
            self._live = None

    def announce(self, text: str) -> None:
        """Says what begins, which takes a while, whatever the output is."""
        if not self.live:
            typer.echo(f"{text} ...", err=True)
        self.doing(text)

    def doing(self, text: str) -> None:
        """Says on the status line what begins now."""
        if text != self._doing:
            self._doing, self._since = text, time.monotonic()
        self._cells, self._share, self._ends = [], None, None

    def progress(
        self, text: str, cells: list[str], share: float | None, left: float | None
    ) -> None:
        """Shows how far a run is.

        Args:
            text: What it is doing.
            cells: Numbers; as many as fit.
            share: How much of it is done, 0 to 1; None if nobody knows.
            left: Seconds until it ends; None if nobody knows.
        """
        if text != self._doing:
            self._doing, self._since = text, time.monotonic()
        self._cells, self._share = cells, share
        self._ends = None if left is None else time.monotonic() + left

    def counting(self, text: str, total: int, unit: str) -> Callable[[int], None]:
        """Shows how many of a known number are done; call the result with how many more are.

        Without a status line, only that it begins.
        """
        began, done = time.monotonic(), 0
        if not self.live:
            what = unit if total != 1 else unit.removesuffix("s")
            typer.echo(f"{text} {total:,} {what} ...", err=True)

        def advance(more: int) -> None:
            nonlocal done
            done = min(total, done + more)
            share = done / total
            left = (time.monotonic() - began) * (1 - share) / share if done else None
            self.progress(text, [f"{done:,} of {total:,} {unit}"], share, left)

        advance(0)
        return advance

    def line(self, text: str, bold: bool = False) -> None:
        """Prints a line that stays."""
        # Above the status line; a terminal wraps what is too long, and copies it whole.
        if self._live:
            self._console.print(Text(text, "bold" if bold else ""), soft_wrap=True)
        else:
            typer.secho(text, bold=bold)

    def _render(self) -> Table:
        now = time.monotonic()
        room = self._console.width - 1
        cells = [printable(self._doing, 40)]
        if not self._cells:  # what takes long without a number
            cells.append(f"({clock(now - self._since)})")
        ends = None
        if self._ends is not None:
            ends = f"{clock(max(0.0, self._ends - now))} left"
        elif self._cells:
            ends = "time left: ?"
        used = 2 + sum(len(text) + 1 for text in (*cells, ends or ""))
        for text in self._cells:
            if used + len(text) + 1 > room:
                break
            cells.append(printable(text))
            used += len(text) + 1
        cells += [ends] if ends else []
        grid = Table.grid(*[Column(no_wrap=True) for _ in range(len(cells) + 2)], padding=(0, 1))
        width = min(40, room - used - 1)
        known = self._share and width > 8
        bar = ProgressBar(total=1.0, completed=self._share or 0.0, width=width) if known else ""
        grid.add_row(self._spinner, Text(cells[0], style="bold"), *cells[1:], bar)
        return grid
