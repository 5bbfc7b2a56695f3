"""Where the trained teams are that come with the package, by name: zoo:NAME."""

from __future__ import annotations

from pathlib import Path

from rllib_qatten.errors import BadInput, one_of

#: What an address of a team begins with, wherever the path of a checkpoint is accepted.
PREFIX = "zoo:"
#: The file that says how a team was trained and evaluated; it marks a team's folder.
ABOUT = "about.json"
#: In an installation they are the package's data; in a clone they stand next to it.
FOLDERS = (Path(__file__).parents[1] / "zoo", Path(__file__).parents[2] / "zoo")


def teams() -> dict[str, Path]:
    """Name -> folder, in the order of the names."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    found = folder.glob(f"*/{ABOUT}") if folder else ()
    return {file.parent.name: file.parent for file in sorted(found)}


def is_address(checkpoint: object) -> bool:
    """Whether a user means a team of the zoo."""
    return isinstance(checkpoint, str | Path) and str(checkpoint).startswith(PREFIX)


def team(address: str) -> Path:
    """The folder of a team.

    Args:
        address: zoo:NAME.

    Raises:
        BadInput: If there is no such team, with the nearest name.
    """
    found = teams()
    try:
        return found[one_of(address.removeprefix(PREFIX), found, "team of the zoo")]
    except ValueError as error:
        listed = "`rllib zoo` lists all." if found else "This installation has none."
        raise BadInput(f"{address}: {error} {listed}") from error


def no_checkpoint(address: str) -> str:
    """Why training cannot continue from a team, and what can be done instead."""
    return (
        f"{address} is a trained team, not a checkpoint of a run: it holds the agent network and "
        "the mixer, but no optimizer, target networks or replay to continue from. Begin a run "
        f"with its agent network: --set init_from={address}, or "
        f'.training(init_from="{address}") in Python.'
    )
