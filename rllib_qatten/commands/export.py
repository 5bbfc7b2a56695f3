"""`rllib export`: a team's agent network as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint's folder.", show_default=False)],
    form: Annotated[
        str, typer.Option("--format", metavar="onnx|torch", help="ONNX, or torch.export's.")
    ] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="team_policy.onnx or .pt2 in this folder."
        ),
    ] = None,
) -> None:
    """Write the agent network as a file that acts without this package."""
    from rllib_qatten.evaluation.export import export as write
    from rllib_qatten.evaluation.team_policy import TeamPolicy

    typer.echo(f"Wrote {write(TeamPolicy.from_checkpoint(checkpoint), form, output)}")
