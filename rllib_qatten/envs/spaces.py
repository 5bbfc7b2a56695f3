"""Observation spaces: which ones have a fixed length, and which values do not fit.

Flattened as by gymnasium: a Discrete is one-hot, a Dict or Tuple its parts in a row, an image its
pixels.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, cast

import gymnasium as gym
import numpy as np

from rllib_qatten.envs.team import ACTION_MASK, OBSERVATION_KEYS

FLOAT32 = np.finfo(np.float32)
#: Longer observations and states get a note about their size.
LONG = 5_000
#: Numbers beyond which networks hardly learn from an observation.
LARGE = 1e4
#: What float32 may add to a bound, as a share of it.
ROUNDED = 1e-6


def mask_key(space: gym.Space) -> str | None:
    """The key of the observation beside an action mask; None if the space holds no mask."""
    if isinstance(space, gym.spaces.Dict) and ACTION_MASK in space.spaces:
        return next((key for key in OBSERVATION_KEYS if key in space.spaces), None)
    return None


def plain_space(space: gym.Space) -> gym.Space:
    """The part of an observation space that is the observation."""
    key = mask_key(space)
    return space if key is None else cast(gym.spaces.Dict, space)[key]


def has_fixed_length(space: Any) -> bool:
    """Whether gymnasium flattens the space into an array."""
    try:
        gym.spaces.flatdim(space)
    except (ValueError, NotImplementedError):
        return False
    return bool(space.is_np_flattenable)


def reader(space: gym.Space) -> Callable[[Any, list[np.ndarray]], None]:
    """A function that appends a value's parts to a list, to be joined into what gymnasium flattens.

    It raises an error of some kind for what does not fit the space; `misfits` says why. Parts are
    joined once for a whole team: one gymnasium call per part would cost more than many envs do.
    """
    if isinstance(space, gym.spaces.Dict):
        return _reader_of_parts(space.spaces.items())
    if isinstance(space, gym.spaces.Tuple):
        return _reader_of_parts(enumerate(space.spaces))
    if isinstance(space, gym.spaces.Discrete):
        one_hot, start, n = np.eye(int(space.n), dtype=np.float32), int(space.start), int(space.n)

        def read_discrete(value: Any, parts: list[np.ndarray]) -> None:
            place = operator.index(value) - start
            if not 0 <= place < n:  # an index of -1 would count from the end
                raise ValueError(value)
            parts.append(one_hot[place])

        return read_discrete
    shape = space.shape
    if isinstance(space, gym.spaces.Box):

        def read_box(value: Any, parts: list[np.ndarray]) -> None:
            array = np.asarray(value)  # as float32, text would be read as numbers
            if array.shape != shape:
                raise ValueError(value)
            parts.append(array)

        return read_box

    def read_other(value: Any, parts: list[np.ndarray]) -> None:
        if not space.contains(value):
            raise ValueError(value)
        parts.append(cast(np.ndarray, gym.spaces.flatten(space, value)))

    return read_other


def _reader_of_parts(spaces: Iterable[tuple[Any, gym.Space]]) -> Callable[[Any, list], None]:
    readers = [(key, reader(space)) for key, space in spaces]

    def read_parts(value: Any, parts: list[np.ndarray]) -> None:
        for key, read in readers:
            read(value[key], parts)

    return read_parts


def misfits(space: gym.Space, value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Why gymnasium could not flatten a value of the space, or no network could take it.

    Yields:
        What the value is, and what the space says or how to fix it.
    """
    if isinstance(space, gym.spaces.Dict):
        if not isinstance(value, Mapping):
            yield kind_of(value) + at, f", but its space says a dict of {sorted(space.spaces)}"
            return
        for key, part in space.spaces.items():
            if key in value:
                yield from misfits(part, value[key], f"{at}[{key!r}]" if at else f" in [{key!r}]")
            else:
                yield f"a dict without {key!r}" + at, ", but its space has it"
    elif isinstance(space, gym.spaces.Tuple):
        if not isinstance(value, Sequence | np.ndarray) or len(value) != len(space.spaces):
            yield kind_of(value) + at, f", but its space says a tuple of {len(space.spaces)}"
            return
        for i, part in enumerate(space.spaces):
            yield from misfits(part, value[i], f"{at}[{i}]" if at else f" in [{i}]")
    elif isinstance(space, gym.spaces.Box | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary):
        yield from _array_misfits(space, value, at)
    elif isinstance(space, gym.spaces.Discrete):
        first, n = int(space.start), int(space.n)
        if not _is_whole(value) or not 0 <= int(value) - first < n:
            yield (
                f"{value!r}" + at,
                f", but its space says a whole number {first} to {first + n - 1}",
            )
    elif not space.contains(value):
        yield f"{value!r}" + at, f", but its space says {space}"


def strays(space: gym.Space, value: Any, at: str = "") -> Iterator[str]:
    """What is odd about a value that fits: entries out of bounds, and keys that are not read.

    Yields:
        What the value is, as in "values from 0 to 7 where its space says 0 to 1".
    """
    if isinstance(space, gym.spaces.Dict):
        for key in value.keys() - space.spaces.keys():
            yield f"{key!r}{at}, which is not in its space and is not read"
        for key, part in space.spaces.items():
            yield from strays(part, value[key], f"{at}[{key!r}]" if at else f" in [{key!r}]")
    elif isinstance(space, gym.spaces.Tuple):
        for i, part in enumerate(space.spaces):
            yield from strays(part, value[i], f"{at}[{i}]" if at else f" in [{i}]")
    elif isinstance(space, gym.spaces.Box) and space.shape and 0 not in space.shape:
        array = np.asarray(value, np.float64)
        low, high = (np.asarray(end, np.float64) for end in (space.low, space.high))
        below, above = (ROUNDED * np.maximum(np.abs(end), 1) for end in (low, high))
        if (array < low - below).any() or (array > high + above).any():
            yield (
                f"values from {array.min():g} to {array.max():g}{at} where its space says "
                f"{space.low.min():g} to {space.high.max():g}"
            )
        elif space.dtype is not None and space.dtype.kind in "iu" and (array % 1).any():
            yield f"fractions{at} where its space says {space.dtype}"
        elif (most := np.abs(array).max()) > LARGE:
            yield f"numbers up to {most:g}{at}: networks learn from numbers of about 1; scale them"


def bulk(space: gym.Space) -> str | None:
    """A note on the size of an image or another long observation; None for common ones."""
    length = gym.spaces.flatdim(space)
    image = _image(space)
    if image is None and length <= LONG:
        return None
    kind = ""
    if image:
        kind = (
            f"an image {image} of numbers up to 255, which are used as they are, without "
            "convolutions: divide them by 255 in the env, or nothing is learned; it"
        )
    return f"{kind or 'long: it'} counts as {length} numbers, {length * 4 / 1024:.0f} KiB"


def _image(space: gym.Space) -> tuple[int, ...] | None:
    """The shape of the first image in a space."""
    if isinstance(space, gym.spaces.Box):
        return space.shape if space.dtype == np.uint8 and len(space.shape) > 1 else None
    parts: Any = getattr(space, "spaces", ())
    parts = parts.values() if isinstance(parts, Mapping) else parts
    return next(filter(None, map(_image, parts)), None)


def _array_misfits(space: gym.Space, value: Any, at: str) -> Iterator[tuple[str, str]]:
    if not is_numeric(value):
        yield kind_of(value) + at, f", but its space says numbers of shape {space.shape}"
        return
    array = np.asarray(value)
    if array.shape != space.shape:
        yield f"shape {array.shape}" + at, f", but its space says {space.shape}"
    elif not np.isfinite(array).all():
        yield (
            "NaN or infinity" + at,
            ": networks need finite numbers; look for a division by zero",
        )
    elif array.size and np.abs(array).max() > FLOAT32.max:
        yield f"numbers up to {np.abs(array).max():g}" + at, ": too large for float32; scale them"
    elif not isinstance(space, gym.spaces.Box) and not space.contains(value):
        yield f"{value!r}" + at, f", but its space says {space}"


def is_numeric(value: Any) -> bool:
    """Whether NumPy makes an array of numbers of it."""
    try:
        return np.asarray(value).dtype.kind in "biuf"
    except ValueError:  # lists in lists of different lengths
        return False


def _is_whole(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.shape == () and value.dtype.kind in "iu"
    return isinstance(value, Integral)


def kind_of(value: Any) -> str:
    """A value's type, with its article."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
