"""`rllib report`: many runs on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.screen import Screen
from rllib_qatten.messages import printable

#: Where the report goes if nobody says.
FOLDER = Path("report")


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Folders of runs, finished or not.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where the page and its figures go."),
    ] = FOLDER,
    aggregate: Annotated[
        str, typer.Option(metavar="iqm|median", help="How to aggregate over seeds.")
    ] = "iqm",
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all evaluations in marl-eval's layout."),
    ] = None,
) -> None:
    """Make one page of many runs: curves and final numbers with intervals, speed, settings."""
    with Screen() as screen:
        screen.doing("Loading")
        from rllib_qatten.experiment.process_environment import silence

        silence()
        try:
            from rllib_qatten.report.page import PAGE, write
        except ModuleNotFoundError as error:
            raise BadInput(f"{error}: pip install 'rllib-qatten[report]'.") from error
        if output == FOLDER and _holds_other_files(FOLDER, PAGE):
            raise BadInput(
                f"{FOLDER}: there is a folder of this name, and no {PAGE} in it: it may not be a "
                "report's. Say with -o FOLDER where the report goes. Nothing was changed."
            )
        warnings, page = write(runs, output, aggregate, json, screen.counting)
    for warning in warnings:
        typer.secho(f"Note: {printable(warning, 2000)}", fg="yellow", err=True)
    typer.echo(f"Wrote {page}")


def _holds_other_files(folder: Path, page: str) -> bool:
    return folder.is_dir() and any(folder.iterdir()) and not (folder / page).exists()
