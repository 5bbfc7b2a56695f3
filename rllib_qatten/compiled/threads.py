"""Threads that compiled functions, which run without Python's lock, share their rows out to."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

#: With fewer rows, each an agent at a step, a thread costs what it saves.
FEWEST = 1024

_threads: ContextVar[int] = ContextVar("threads", default=1)
Made = TypeVar("Made")


@contextmanager
def by_threads(number: int) -> Iterator[None]:
    """Shares rows out to so many threads, meanwhile and for the caller."""
    before = _threads.set(number)
    try:
        yield
    finally:
        _threads.reset(before)


def threads_for(rows: int) -> int:
    """How many threads so many rows are worth."""
    return max(1, min(_threads.get(), rows // FEWEST))


def in_threads(function: Callable[..., Made], *arguments: Iterable[Any]) -> list[Made]:
    """The function's results, each in a thread of its own but the first, in the caller's."""
    first, *others = zip(*arguments, strict=True)
    running = [_pool().submit(function, *of_one) for of_one in others]
    return [function(*first), *(one.result() for one in running)]


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "rllib_qatten")
