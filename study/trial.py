"""What is known of a trial: its settings and its record, without paths of one machine."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from ray.tune.result import EXPR_PARAM_FILE

from rllib_qatten import keys
from rllib_qatten.errors import BadInput

#: Options of `rllib train` that say where results go: nobody else has that folder.
PLACES = ("--storage-path", "--local-dir")


def settings(trial: Path) -> dict[str, Any] | None:
    """The trial's part of its experiment's config; None if it was not kept."""
    return _json(trial / EXPR_PARAM_FILE)


def record(trial: Path) -> dict[str, Any]:
    """The trial's record as `rllib train` wrote it; empty if it was not kept."""
    found = _json(trial / keys.RECORD_FILE) or {}
    if "command" in found:
        found["command"] = without_places(found["command"])
    return found


def without_places(command: str) -> str:
    """A shell command without the folder that its results went to."""
    words, kept = iter(shlex.split(command)), []
    for word in words:
        option, equals, _ = word.partition("=")
        if option not in PLACES:
            kept.append(word)
        elif not equals:
            next(words, None)
    return shlex.join(kept)


def _json(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadInput(f"{file}: cannot be read: {error}.") from error
    return found if isinstance(found, dict) else None
