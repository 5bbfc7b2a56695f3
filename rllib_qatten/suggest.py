"""Messages for a name that is none of those accepted."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def one_of(name: str, accepted: Iterable[str], what: str) -> str:
    """Returns `name` if it is accepted.

    Args:
        name: What came.
        accepted: The names that exist.
        what: What the name stands for, to begin the message with.

    Raises:
        ValueError: If it isn't, with the nearest name first and all the others behind it.
    """
    accepted = list(accepted)
    if name in accepted:
        return name
    nearest = difflib.get_close_matches(str(name), accepted, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, nearest))}? " if nearest else ""
    others = ", ".join(sorted(accepted))
    raise ValueError(f"Unknown {what}: {name!r}. {hint}Accepted: {others}.")
