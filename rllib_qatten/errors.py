"""Errors that stop a run with a message: user mistakes, failing engines and environments."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable

#: All accepted names are listed if that takes at most this many characters.
FEW = 500
_names = reprlib.Repr()
_names.maxstring = _names.maxother = 100


class BadInput(ValueError):
    """The user's input cannot be run; the message says where, what it was and what is accepted."""


class EngineFailed(RuntimeError):
    """An engine cannot play, however often it is restarted; the message says why."""


class EnvFailed(EngineFailed):
    """A Python environment raised; the message names it, the step and what it raised."""


def one_of(name: str, accepted: Iterable[str], what: str) -> str:
    """Returns `name` if it is accepted.

    Args:
        name: The given name.
        accepted: The names that exist.
        what: What the name stands for; the message begins with it.

    Raises:
        ValueError: If it isn't, with the nearest names and, if they are few, all others.
    """
    accepted = list(accepted)
    if name in accepted:
        return name
    by_lower = {other.lower(): other for other in accepted}
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=3, cutoff=0.5)
    close = close or [
        other for other in by_lower if len(str(name)) > 2 and str(name).lower() in other
    ]
    nearest = [by_lower[other] for other in close[:3]]
    given = _names.repr(name)
    hint = f" Did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
    # A list that fills the screen would bury the hint.
    names = ", ".join(sorted(accepted))
    listed = f" Accepted: {names}." if 0 < len(names) <= FEW else ""
    raise ValueError(f"Unknown {what}: {given}.{hint}{listed}")
