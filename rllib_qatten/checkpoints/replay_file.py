"""A replay's episodes as one file: compressed arrays, no pickle.

A ZIP archive of `header.json` and, for every block of episodes and every array, one member
`BLOCK/NAME.zst`: all entries of the block one after another, compressed with Zstandard.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow

from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.files import parse_json
from rllib_qatten.hardware.machine import gigabytes
from rllib_qatten.rollout.episode import TeamEpisode, entry_types

FORMAT = 1
HEADER = "header.json"
#: Episodes per block: 20 MB of 3s5z, enough to compress well and cheap to hold twice.
BLOCK = 50
#: Zstandard's fastest regular level. Higher ones and shuffled bytes gain nothing on battles.
LEVEL = 1
#: Largest sizes, in bytes, of the header and of one array of a block, so that a file's declared
#: sizes cannot exhaust memory. A block of the largest battles has 0.1 GB.
HEADER_LIMIT, ARRAY_LIMIT = 2**26, 2**32
#: Episodes of a file at most: a header of many more would itself fill the memory.
EPISODES_LIMIT = 1_000_000
#: What reading a foreign or damaged file may raise.
DAMAGED = (
    zipfile.BadZipFile, pyarrow.ArrowException, struct.error, OSError, EOFError, KeyError,
    TypeError, AttributeError, RuntimeError, OverflowError,
)  # fmt: skip
#: Arrays with an entry per step; the others have one more, for the view after the last step.
PER_STEP = ("actions", "rewards")


def write_episodes(path: Path, episodes: list[TeamEpisode], spec: TeamSpec) -> None:
    """Writes episodes in the given order."""
    codec = pyarrow.Codec("zstd", compression_level=LEVEL)
    types = entry_types(spec)
    header = {
        "format": FORMAT,
        "arrays": {name: [np.dtype(t).str, list(shape)] for name, (shape, t) in types.items()},
        "block": BLOCK,
        "steps": [len(episode) for episode in episodes],
        "terminated": [episode.terminated for episode in episodes],
        "won": [episode.won for episode in episodes],
    }
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(HEADER, json.dumps(header))
        for first in range(0, len(episodes), BLOCK):
            block = episodes[first : first + BLOCK]
            for name, (_, dtype) in types.items():
                joined = np.concatenate([getattr(e, name) for e in block], dtype=dtype)
                data = codec.compress(joined.reshape(-1).view(np.uint8))
                file.writestr(f"{first // BLOCK}/{name}.zst", memoryview(data))


def read_episodes(path: Path, spec: TeamSpec) -> Iterator[TeamEpisode]:
    """Reads what `write_episodes` wrote, block by block: a replay must not be held twice.

    Yields:
        Episodes, whose arrays keep their whole block in memory.

    Raises:
        ValueError: If the file is not one of these, is damaged, or holds another team's episodes.
    """
    try:
        with zipfile.ZipFile(path) as file:
            yield from _read(file, spec)
    except DAMAGED as error:
        raise ValueError(f"{path} is damaged or not a file of episodes: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read(file: zipfile.ZipFile, spec: TeamSpec) -> Iterator[TeamEpisode]:
    header = parse_json(_member(file, HEADER, HEADER_LIMIT))
    if header["format"] != FORMAT:
        raise ValueError(f"it has format {header['format']}, and this version reads {FORMAT}.")
    types = entry_types(spec)
    for name, (shape, dtype) in types.items():
        saved, here = header["arrays"].get(name), [np.dtype(dtype).str, list(shape)]
        if saved != here:
            raise ValueError(f"it holds another team's episodes: {name} is {saved}, not {here}.")
    codec = pyarrow.Codec("zstd")
    size, outcomes = header["block"], _outcomes(header)
    if type(size) is not int or size < 1:
        raise ValueError(f"its header has a block of {size!r} episodes.")
    total = sum(_nbytes(name, outcomes, *types[name]) for name in types)
    # Not what is free: files just read count as used, and a run's own replay must not be refused.
    if total > (memory := psutil.virtual_memory().total):
        raise ValueError(
            f"its header has episodes of {gigabytes(total)}; this machine has {gigabytes(memory)}."
        )
    for first in range(0, len(outcomes), size):
        block = outcomes[first : first + size]
        parts: dict[str, list[Any]] = {}
        for name, (shape, dtype) in types.items():
            nbytes = _nbytes(name, block, shape, dtype)
            if nbytes > ARRAY_LIMIT:
                raise ValueError(f"its header has {name} of {nbytes:,} bytes in a block.")
            compressed = _member(file, f"{first // size}/{name}.zst", ARRAY_LIMIT)
            data = codec.decompress(compressed, nbytes)
            joined = np.frombuffer(data, dtype).reshape(-1, *shape)
            counts = np.array([steps + (name not in PER_STEP) for steps, _, _ in block])
            parts[name] = np.split(joined, counts.cumsum()[:-1])
        for i, (_, terminated, won) in enumerate(block):
            arrays = {name: of_block[i] for name, of_block in parts.items()}
            yield TeamEpisode(**arrays, terminated=terminated, won=won)


def _outcomes(header: dict[str, Any]) -> list[tuple[int, bool, bool | None]]:
    """Steps, termination and victory of every episode."""
    if len(header["steps"]) > EPISODES_LIMIT:
        raise ValueError(
            f"its header has {len(header['steps']):,} episodes; at most {EPISODES_LIMIT:,} are "
            "read."
        )
    # Not isinstance: True is an int.
    if not all(type(steps) is int and steps > 0 for steps in header["steps"]):
        raise ValueError("its header has episodes without a positive number of steps.")
    outcomes = list(zip(header["steps"], header["terminated"], header["won"], strict=True))
    if not all(type(end) is bool and type(won) in (bool, type(None)) for _, end, won in outcomes):
        raise ValueError("its header has outcomes that are neither true nor false.")
    return outcomes


def _nbytes(
    name: str, episodes: list[tuple[int, bool, bool | None]], shape: tuple[int, ...], dtype: Any
) -> int:
    """Bytes of an array of these episodes."""
    entries = sum(steps + (name not in PER_STEP) for steps, _, _ in episodes)
    return entries * math.prod(shape) * np.dtype(dtype).itemsize


def _member(file: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A member of the archive, unless it declares more than `limit` bytes.

    As written, members are not compressed once more, so none is larger than the file.
    """
    info = file.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"its {name} is compressed by ZIP; rewritten files are not read.")
    if info.file_size > limit:
        raise ValueError(f"its {name} is larger than {limit >> 20} MiB.")
    return file.read(info)
