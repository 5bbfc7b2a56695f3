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
