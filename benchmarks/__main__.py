"""`python -m benchmarks`: measures speed and prints one table."""

from __future__ import annotations

import contextlib
import enum
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import ray
import torch
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.teams import SIZES
from benchmarks.turns import Row


class Part(enum.StrEnum):
    """What can be measured."""

    SAMPLER = "sampler"
    UPDATE = "update"
    TRAIN = "train"
    SAVE = "save"


class SizeName(enum.StrEnum):
    """How large game and batch are, see `SIZES`."""

    FULL = "3s5z"
    TINY = "tiny"


def table(rows: list[Row]) -> Table:
    """The rows as they are printed: median [smallest..largest]."""
    result = Table("", "median [low..high]", "unit", "ratio", "of", "goal")
    part = ""
    for row in rows:
        if row.part != part:
            part = row.part
            result.add_section()
        goal = ""
        if row.goal is not None and row.ratio is not None:
            met = row.ratio.median >= row.goal
            goal = f"{row.goal:g}: {'met' if met else 'missed'}"
        value = escape(row.value.text(0 if row.value.median > 1000 else 1))
        ratio = escape(row.ratio.text(2)) if row.ratio else ""
        result.add_row(row.name, value, row.unit, ratio, row.against, goal)
    return result


def processor() -> str:
    """The CPU's model as the system names it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, "unknown CPU")


@contextlib.contextmanager
def _ray() -> Iterator[None]:
    """A quiet Ray, unless one runs already: to end that would empty its registry of envs."""
    if ray.is_initialized():
        yield
        return
    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


def main(
    parts: Annotated[
        list[Part] | None, typer.Argument(help="What to measure; everything if nothing is named.")
    ] = None,
    quick: Annotated[bool, typer.Option(help="Fewer and shorter turns: noisy, 2 minutes.")] = False,
    size: Annotated[
        SizeName, typer.Option(help="Sizes of game and batch; tiny only shows that it runs.")
    ] = SizeName.FULL,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the rows to this file.")
    ] = None,
) -> None:
    """Measures how fast the package plays, learns, does both, and saves."""
    # Here, so that `--help` answers at once.
    from benchmarks import end_to_end, sampler, save, update

    warnings.simplefilter("ignore", DeprecationWarning)
    torch.set_num_threads(1)
    tiny = size is SizeName.TINY
    rounds, seconds = (1, 0.0) if tiny else (3, 0.3) if quick else (11, 0.6)
    chosen = parts or list(Part)
    machine = f"{processor()}, {os.cpu_count()} cores, 1 torch thread, torch {torch.__version__}"
    busy = f"load average {os.getloadavg()[0]:.1f} before the start"
    rows: list[Row] = []
    with _ray():
        if Part.SAMPLER in chosen:
            rows += sampler.run(SIZES[size], rounds, seconds)
        if Part.UPDATE in chosen:
            rows += update.run(SIZES[size], rounds, seconds)
        if Part.TRAIN in chosen:
            rows += end_to_end.run(tiny, quick)
        if Part.SAVE in chosen:
            rows += save.run(SIZES[size], tiny)
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    console.print(table(rows))
    console.print(f"{rounds} turns of at least {seconds:g} s each. {machine}; {busy}.")
    if json_file:
        results = {"machine": machine, "rows": [row.as_dict() for row in rows]}
        json_file.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
