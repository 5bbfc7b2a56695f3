"""Messages that a user must see, from whichever process: one line each on standard error.

Ray forwards all output of its workers to the driver. This package's lines begin with `PREFIX`, so
that the `rllib` command passes on these and no others.
"""

from __future__ import annotations

import functools
import sys

PREFIX = "rllib_qatten: "


def say(text: str) -> None:
    """Prints a line for the user, next to the results."""
    print(f"{PREFIX}{text}", file=sys.stderr, flush=True)


@functools.cache
def say_once(text: str) -> None:
    """Prints a line once per process, where several parts of it may have the same to say."""
    say(text)


def printable(text: object, longest: int = 500) -> str:
    """One line of untrusted text, made safe for a terminal or a page.

    Control characters, line breaks and marks that change the writing direction are escaped; text
    longer than `longest` is cut.
    """
    whole = str(text)
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in whole[:longest]
    )
    cut = len(whole) > longest or len(shown) > longest
    return shown[: longest - 1] + "…" if cut else shown
