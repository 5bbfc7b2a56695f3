"""`python -m benchmarks`: measures speed and prints one table."""

from __future__ import annotations

import contextlib
import enum
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import ray
import torch
import typer
from rich.console import Console

from benchmarks import baseline, report
from benchmarks.effort import Effort
from benchmarks.parts import Part, Peers, Task, tasks
from benchmarks.turns import Row


class SizeName(enum.StrEnum):
    """How large game and batch are, see `SIZES`."""

    M3 = "3m"
    S3Z5 = "3s5z"
    M27 = "27m_vs_30m"
    TINY = "tiny"


@contextlib.contextmanager
def _ray() -> Iterator[None]:
    """A quiet Ray, unless one runs already: to end that would empty its registry of envs."""
    if ray.is_initialized():
        yield
        return
    # Room for 4 env runners on any machine: what more of them cost is one of the questions.
    cpus = max(8, os.cpu_count() or 1)
    ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


def measure(
    chosen: list[Task], keep: Callable[[list[Row]], None] = lambda rows: None
) -> tuple[list[Row], bool]:
    """The rows of all tasks, and whether all went well; one that fails is a row that says so.

    Args:
        chosen: What to measure.
        keep: Called with the rows so far after each task, lest a crash lose them.
    """
    rows: list[Row] = []
    well = True
    for task in chosen:
        print(f"{task.part}: {task.name} ...", file=sys.stderr, flush=True)
        try:
            rows += task.run()
        except Exception as error:  # whatever it is, the other parts still count
            traceback.print_exc()
            well = False
            rows.append(Row(task.part, task.name, "", None, note=f"failed: {error!r}"[:200]))
        keep(rows)
    return rows, well


def main(
    parts: Annotated[
        list[Part] | None, typer.Argument(help="What to measure; everything if nothing is named.")
    ] = None,
    quick: Annotated[bool, typer.Option(help="Fewer and shorter turns: noisy.")] = False,
    size: Annotated[
        list[SizeName] | None,
        typer.Option(
            help="Sizes of sampler and update, all three if none is named; tiny only shows "
            "that everything runs."
        ),
    ] = None,
    jaxmarl: Annotated[
        Path | None, typer.Option(help="A checkout of JaxMARL, whose QMIX is run as a peer.")
    ] = None,
    jaxmarl_python: Annotated[
        Path, typer.Option(help="A Python that has what JaxMARL's QMIX imports.")
    ] = Path(sys.executable),
    full_memory: Annotated[
        bool, typer.Option(help="Memory with 5000 episodes and 10 minutes once full.")
    ] = False,
    check: Annotated[
        bool, typer.Option(help="Exit with 1 if a ratio fell below the stored baseline.")
    ] = False,
    write_baseline: Annotated[
        bool, typer.Option(help="Store the measured ratios as the new baseline.")
    ] = False,
    baseline_file: Annotated[Path, typer.Option(help="The baseline.")] = baseline.FILE,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the rows to this file.")
    ] = None,
    markdown_file: Annotated[
        Path | None,
        typer.Option(
            "--markdown", help="Also write the tables to this file, between marks if it has them."
        ),
    ] = None,
) -> None:
    """Measures how fast the package plays, learns, does both, and saves, beside others."""
    warnings.simplefilter("ignore", DeprecationWarning)
    torch.set_num_threads(1)
    names = [str(name) for name in size or ("3m", "3s5z", "27m_vs_30m")]
    effort = Effort.of(tiny=names == ["tiny"], quick=quick, full_memory=full_memory)
    peers = Peers(jaxmarl, jaxmarl_python)
    load = f"load average {os.getloadavg()[0]:.1f} before the start"
    below = f"{effort.text}; {report.machine()}; {load}."

    def keep(rows: list[Row]) -> None:
        if json_file:
            json_file.write_text(report.to_json(rows, below))
        if markdown_file:
            report.save_markdown(report.markdown(rows, below), markdown_file)

    with _ray():
        rows, well = measure(tasks(parts or list(Part), names, effort, peers), keep)
    console = Console()
    if not console.is_terminal:
        console = Console(width=170)
    console.print(report.table(rows))
    console.print(below)
    if write_baseline:
        baseline.write(rows, baseline_file)
    if check:
        complaints = baseline.check(rows, baseline_file)
        for complaint in complaints:
            print(complaint, file=sys.stderr)
        well = well and not complaints
    if not well:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
