"""Arguments that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Checkpoint = Annotated[Path, typer.Argument(help="Folder of a checkpoint.", show_default=False)]
Seed = Annotated[
    int, typer.Option(metavar="S", min=0, help="Seed of the games: same seed, same games.")
]
Env = Annotated[
    str | None,
    typer.Option(
        metavar="ENV",
        help="The environment, if it is not this package's: my_module:MyEnv. Runs its code.",
    ),
]
