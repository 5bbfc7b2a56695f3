"""`rllib export`: a team's agent network as a single file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rllib_qatten.commands.arguments import Checkpoint


def export(
    checkpoint: Checkpoint,
    form: Annotated[
        str, typer.Option("--format", metavar="onnx|torch", help="ONNX, or torch.export's format.")
    ] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The file (./team_policy.onnx or .pt2)."
        ),
    ] = None,
) -> None:
    """Write the agent network to a file that runs without this package."""
    from rllib_qatten.evaluation.export import export as write
    from rllib_qatten.evaluation.team_policy import TeamPolicy

    typer.echo(f"Wrote {write(TeamPolicy.from_checkpoint(checkpoint), form, output)}")
