"""`rllib export`: a team's agent network as a single file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rllib_qatten.commands.arguments import Checkpoint
from rllib_qatten.errors import BadInput


def export(
    checkpoint: Checkpoint,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="onnx|torch",
            help="ONNX, or torch.export's format; by default as FILE ends, and ONNX without an "
            "ending.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The file (./team_policy.onnx or .pt2)."
        ),
    ] = None,
) -> None:
    """Write the agent network to a file that runs without this package."""
    from rllib_qatten.evaluation.export import FORMATS
    from rllib_qatten.evaluation.export import export as write
    from rllib_qatten.evaluation.team_policy import TeamPolicy

    endings = {ending: name for name, ending in FORMATS.items()}
    named = endings.get(output.suffix.lower()) if output else None
    if named and form in FORMATS and form != named:
        raise BadInput(f"--format {form}: {output} is named as a file of --format {named}.")
    if output and output.suffix and not (form or named):
        known = ", or ".join(f"{ending} for --format {name}" for ending, name in endings.items())
        raise BadInput(f"-o {output} ends in {output.suffix}: expected {known}, or say --format.")
    policy = TeamPolicy.from_checkpoint(checkpoint)
    typer.echo(f"Wrote {write(policy, form or named or 'onnx', output)}")
