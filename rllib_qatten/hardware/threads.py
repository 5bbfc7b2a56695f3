"""How many threads compute: torch's, and those that compiled functions share their rows out to.

Compiled functions run without Python's lock.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch

#: Rows, each an agent at a step, that are worth a thread: with fewer it costs what it saves.
FEWEST = 1024

_threads: ContextVar[int] = ContextVar("threads", default=1)
Made = TypeVar("Made")


@contextmanager
def torch_threads(number: int = 1) -> Iterator[None]:
    """Holds torch to so many threads.

    More than one gain small products nothing and mostly wait; on a machine that also does other
    work they take ten times as long. To ask for it takes 4 microseconds.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
    """The function's results, each in a thread of its own but the first, in the caller's.

    There are no gradients in the others. All have ended when this returns or raises.
    """
    first, *others = zip(*arguments, strict=True)
    running = [_pool().submit(torch.no_grad()(function), *of_one) for of_one in others]
    try:
        result = function(*first)
    finally:
        wait(running)
    return [result, *(one.result() for one in running)]


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(2, os.cpu_count() or 1), "rllib_qatten")


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
