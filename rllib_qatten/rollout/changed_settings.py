"""How settings differ, whatever their values are: arrays, or objects that nothing can compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from ray import cloudpickle

from rllib_qatten.messages import printable


class _Absent:
    """The value of a key that is not there."""

    def __repr__(self) -> str:
        return "not set"


def changed(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """Dotted key, old value and new value in words, of all settings that differ.

    Args:
        before: Settings of a checkpoint or of an earlier run, by name.
        now: Those here.
        key: Where these are, if they are part of others.
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in {**before, **now}:
            old, new = (settings.get(name, _Absent()) for settings in (before, now))
            yield from changed(old, new, f"{key}.{name}" if key else str(name))
    elif not _same(before, now):
        old, new = (printable(repr(value), 60) for value in (before, now))
        yield key, old, new


def _same(ours: Any, theirs: Any) -> bool:
    """Whether two values are equal; a list equals a tuple or an array, as text has but lists."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return ours.keys() == theirs.keys() and all(_same(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    try:
        if np.array_equal(ours, theirs):
            return True
    except Exception:  # values raise anything when they are compared
        pass
    try:  # NaN, and objects that are equal only to themselves
        return bool(cloudpickle.dumps(ours) == cloudpickle.dumps(theirs))
    except Exception:
        return False
