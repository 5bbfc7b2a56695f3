"""What a user must see, from whichever process it comes: one line on standard error.

Ray carries the output of its workers to the driver among much else. Lines of ours begin with
`PREFIX`, so that the `rllib` command passes on these and no others.
"""

from __future__ import annotations

import sys

PREFIX = "rllib_qatten: "


def say(text: str) -> None:
    """Prints a line for the user beside the results."""
    print(f"{PREFIX}{text}", file=sys.stderr, flush=True)


def printable(text: object, longest: int = 500) -> str:
    """One line of text from a file that anybody may have made, safe for a terminal or a page.

    Control characters, line breaks and what changes the direction of writing become escapes; what
    is longer than `longest` is cut.
    """
    whole = str(text)
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in whole[:longest]
    )
    cut = len(whole) > longest or len(shown) > longest
    return shown[: longest - 1] + "…" if cut else shown
