"""Arguments that several commands take."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from rllib_qatten.errors import BadInput

Checkpoint = Annotated[
    Path,
    typer.Argument(
        help="Folder of a checkpoint, or zoo:NAME, a team of `rllib zoo`.", show_default=False
    ),
]
Seed = Annotated[
    int,
    # As many as the generators of numpy and of the engines tell apart.
    typer.Option(
        metavar="S", min=0, max=2**32 - 1, help="Seed of the games: same seed, same games."
    ),
]
Env = Annotated[
    str | None,
    typer.Option(
        metavar="ENV",
        help="The environment, if it is not this package's: my_module:MyEnv. Runs its code.",
    ),
]


Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Of a file with several experiments, only this one; * stands for any text. "
        "Repeatable.",
    ),
]


def key_values(texts: Iterable[str], option: str) -> Iterator[str]:
    """What is written as JSON, as RLlib's own command took it, as KEY=VALUE; the rest as it is.

    Raises:
        BadInput: For what begins like JSON and is not an object.
    """
    for text in texts:
        if not text.lstrip().startswith("{") and option != "--config":
            yield text
            continue
        try:
            found = json.loads(text)
        except ValueError as error:
            raise BadInput(f"{option} {text[:80]!r}: is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise BadInput(f"{option} {text[:80]!r}: must be a JSON object, {{...}}.")
        yield from (f"{key}={json.dumps(value)}" for key, value in found.items())
