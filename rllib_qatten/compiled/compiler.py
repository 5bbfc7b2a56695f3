"""Functions compiled by numba at their first use on a machine, and kept in the user's cache folder.

numba compiles on the user's machine, for its processor, without any other compiler. Whoever lacks
it, or cannot keep what it compiled, gets torch's functions, which compute the same.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rllib_qatten.files import cache_folder
from rllib_qatten.messages import say, say_once

#: Environment variable that switches compiled functions off: set it to 0.
VARIABLE = "RLLIB_QATTEN_COMPILED"
#: What the compiler may do beyond IEEE: sums in any order, multiply-add in one. It must keep NaNs,
#: by which a diverged training is noticed.
MAY = {"reassoc", "contract", "nsz", "arcp", "afn"}
#: What compiled functions need; the extra `fast` has them.
NEEDS = "numba", "threadpoolctl", "filelock"


@functools.cache
def kernels(name: str) -> Any:
    """A module of this package with its functions compiled; None if torch must do it.

    The first process of a user compiles and says so; others wait for it, and then read.

    Args:
        name: The module's, for instance "recurrent".
    """
    if reason := unavailable():
        if reason.startswith("/"):
            tell()
        return None
    from filelock import FileLock

    done = folder() / f"{name}.compiled"
    with FileLock(folder() / "compiling.lock"):
        if not done.exists():
            say(f"compiling what updates need ({name}: 5 to 20 s, the first time only) ...")
        started = time.process_time()
        try:
            module = importlib.import_module(f"rllib_qatten.compiled.{name}")
        except Exception as error:  # numba or LLVM, for instance on a processor they do not know
            say(f"torch's slower functions are used: numba failed: {error!r}"[:300] + ".")
            return None
        if not done.exists():
            with contextlib.suppress(OSError):  # a full disk: said again the next time
                done.write_text(f"{time.process_time() - started:.1f}")
    return module


@functools.cache
def unavailable() -> str:
    """Why nothing can be compiled here; empty if it can."""
    if os.environ.get(VARIABLE) == "0":
        return f"{VARIABLE}=0"
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed: pip install 'rllib-qatten[fast]'"
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        why = f"{place} cannot be written ({error.strerror})"
        return f"{why}: set XDG_CACHE_HOME to a folder that can"
    return ""


def tell() -> None:
    """Says once, for whoever trains, why updates are not compiled, unless that was asked for."""
    if os.environ.get(VARIABLE) != "0" and (reason := unavailable()):
        say_once(f"torch's slower functions are used: {reason}.")


def jit(signature: str) -> Callable[[Callable[..., Any]], Any]:
    """Compiles a function for arguments of these types at once, or reads it from the cache."""
    import numba

    setting: Any = numba.config  # numba fills it at run time

    def compiled(function: Callable[..., Any]) -> Any:
        # The setting is numba's own, for all of a process: other packages keep theirs.
        others, setting.CACHE_DIR = setting.CACHE_DIR, str(folder())
        try:
            options: Any = {"nogil": True, "error_model": "numpy", "fastmath": MAY}
            return numba.njit(signature, cache=True, **options)(function)
        finally:
            setting.CACHE_DIR = others

    return compiled


def inlined(function: Callable[..., Any]) -> Any:
    """Makes a function that compiled ones can call.

    It must become part of them. Otherwise a process that compiles several would call what it has
    compiled first, and one that reads them from the cache what each file brings: the processor's
    instructions for the same sums differ, and so would the last bits.
    """
    import numba

    return numba.njit(forceinline=True, error_model="numpy", fastmath=MAY)(function)


def formula(function: Callable[..., Any]) -> Any:
    """Makes a function of numbers that is put in place of its call, so that loops stay loops."""
    import numba

    return numba.njit(inline="always", error_model="numpy", fastmath=MAY)(function)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Holds the library that compiled functions multiply with, SciPy's, to one thread.

    Two threads mostly wait for each other in products this small: thrice the time of one.
    """
    other = [(x, number) for x in _blas() if (number := x.num_threads) != 1]
    for library, _ in other:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, number in other:
            library.set_num_threads(number)


@functools.cache
def _blas() -> list[Any]:
    import scipy.linalg.cython_blas  # noqa: F401 - loads the library
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


@functools.cache
def folder() -> Path:
    """One per installation and state of its sources.

    Numba compiles for each path anew, and does not notice that an inlined function changed.
    """
    place = Path(__file__).parent
    contents = [bytes(place), *(file.read_bytes() for file in sorted(place.glob("*.py")))]
    state = hashlib.sha256(b"".join(contents)).hexdigest()[:16]
    return cache_folder() / "compiled" / state
