"""Errors that stop a run with a message: user mistakes, failing engines and environments."""

from __future__ import annotations

import difflib
import os
import re
import reprlib
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

#: All accepted names are listed if that takes at most this many characters.
FEW = 500
_names = reprlib.Repr()
_names.maxstring = _names.maxother = 100
#: Beginnings of paths to code that is not a user's own: this package, Python, made while running.
OTHERS = f"{Path(__file__).parent}{os.sep}", f"{sysconfig.get_path('stdlib')}{os.sep}", "<"
#: Parts of paths to what is installed.
INSTALLED = f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}"


class BadInput(ValueError):
    """The user's input cannot be run; the message says where, what it was and what is accepted."""


class EngineFailed(RuntimeError):
    """An engine cannot play, however often it is restarted; the message says why."""


class EnvFailed(EngineFailed):
    """A Python environment raised; the message names it, the step and what it raised."""


def described(error: BaseException) -> str:
    """What a user's code raised, and where: `KeyError: 'hp' (my_env.py line 17, in step)`."""
    if isinstance(error, SystemExit):
        what = f"SystemExit (sys.exit({error.code!r}))"
    else:
        what = f"{type(error).__name__}: {error}"
    return what + own_line("".join(traceback.format_tb(error.__traceback__)))


def own_line(trace: str) -> str:
    """The innermost line of a user's own code in a traceback, in brackets; "" if there is none.

    Errors of torch, NumPy and Python often name nothing that a user wrote.
    """
    lines = re.findall(r'^ *File "([^"]+)", line (\d+), in (.+)$', trace, re.MULTILINE)
    own = [
        line
        for line in lines
        if not (line[0].startswith(OTHERS) or any(part in line[0] for part in INSTALLED))
    ]
    return f" ({own[-1][0]} line {own[-1][1]}, in {own[-1][2]})" if own else ""


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
