"""The settings in which runs differ, and their text in names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ray.tune.utils import flatten_dict

from rllib_qatten.messages import printable

UNSET = ""
#: The longest text that says everything, in characters.
LONGEST = 500
#: Values of the settings that differ, in their order.
Values = tuple[str, ...]


def flat(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings by their paths, as text."""
    return {name: str(value) for name, value in flatten_dict({**settings}).items()}


def differing(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """The settings that are not the same in all."""
    names = dict.fromkeys(name for of_run in settings for name in of_run)
    return [n for n in names if len({of_run.get(n, UNSET) for of_run in settings}) > 1]


def values(settings: Mapping[str, str], names: Iterable[str]) -> Values:
    """The values of some settings."""
    return tuple(settings.get(name, UNSET) for name in names)


def short(names: Iterable[str], every: Iterable[Values], longest: int) -> dict[Values, str] | None:
    """Values -> what a name says of them; None if that is too long, or the same of two."""
    texts = {}
    for of_run in every:
        given = [(n.split("/")[-1], v) for n, v in zip(names, of_run, strict=True) if v != UNSET]
        texts[of_run] = printable(", ".join(f"{name} {value}" for name, value in given))
    brief = max(map(len, texts.values())) <= longest
    return texts if brief and len(set(texts.values())) == len(texts) else None


def numbered(every: Iterable[Values]) -> dict[Values, str]:
    """Values -> a number, in their order."""
    return {of_run: f"#{i}" for i, of_run in enumerate(dict.fromkeys(every), start=1)}


def whole(names: Iterable[str], of_run: Values) -> str:
    """All that differs, for a reader of names that cannot say it."""
    pairs = zip(names, of_run, strict=True)
    return printable(", ".join(f"{n} {v if v != UNSET else 'unset'}" for n, v in pairs), LONGEST)
