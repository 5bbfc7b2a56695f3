"""Files and folders that appear whole or not at all, and files that anybody may have made."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rllib_qatten.errors import BadInput

try:
    import fcntl
except ImportError:  # Windows; leftovers stay there
    fcntl = None  # type: ignore[assignment]

#: How deep JSON may be nested.
DEPTH = 50


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file next to `path` that replaces it if all goes well.

    It is created at once, so that an unwritable path is noticed before any work is done. A link
    stays, and the file that it leads to is replaced; a file keeps its mode.

    Raises:
        BadInput: If `path` cannot be written, or is no file, as /dev/stdout.
    """
    asked, path = path, Path(os.path.realpath(path))
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        if path.exists() and not path.is_file():
            raise OSError(None, "it is a device or a pipe; name a file")
        # Keeps the suffix: some writers go by it.
        handle, name = tempfile.mkstemp(path.suffix, f".{path.stem}.", path.parent)
        os.close(handle)
    except OSError as error:
        raise BadInput(f"{asked}: cannot be written: {error.strerror}.") from error
    temporary = Path(name)
    try:
        yield temporary
        take_mode(temporary, path)
        temporary.replace(path)
    except OSError as error:
        raise BadInput(f"{asked}: cannot be written: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def take_mode(new: Path, old: Path) -> None:
    """Gives what is to replace `old` its mode, or that of anything new; temporary is private."""
    if old.exists():
        mode = stat.S_IMODE(old.stat().st_mode)
    else:
        umask = os.umask(0)
        os.umask(umask)
        mode = (0o777 if new.is_dir() else 0o666) & ~umask
    new.chmod(mode)


def cache_folder() -> Path:
    """Where this user's caches of the package are; it may not exist or not be writable."""
    caches = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(caches or Path.home() / ".cache") / "rllib_qatten"
    except RuntimeError:  # a user without a home, as in containers
        return Path(os.devnull) / "rllib_qatten"


def read_bounded(file: Path, limit: int, inside: Path | None = None) -> bytes:
    """Reads a file that may come from an untrusted source.

    Args:
        file: Where it is.
        limit: Its largest size in bytes.
        inside: A folder that links must not leave; None follows any link.

    Raises:
        OSError: As `open` does.
        ValueError: If it is too large, not a regular file, or leads out of the folder.
    """
    if inside is not None:
        try:
            target = file.resolve()
        except RuntimeError as error:  # how Python 3.11 and 3.12 report a cycle of links
            raise ValueError(f"{file.name} is a link to itself") from error
        if not target.is_relative_to(inside.resolve()):
            raise ValueError(f"{file.name} is a link that leads out of its folder")
    # Without O_NONBLOCK, opening a named pipe would block until somebody writes to it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
    with open(file, "rb", opener=lambda path, _: os.open(path, flags)) as opened:
        about = os.fstat(opened.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ValueError(f"{file.name} is not a regular file")
        # Python allocates at once as much as it is asked to read.
        content = b"" if about.st_size > limit else opened.read(about.st_size + 1)
    if about.st_size > limit or len(content) > limit:
        raise ValueError(f"{file.name} is larger than {limit >> 20} MiB")
    return content


def parse_json(text: str | bytes, depth: int = DEPTH) -> Any:
    """Parses JSON from a source that may not be trusted.

    Raises:
        ValueError: If it is not JSON, or nested deeper than `depth`.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deep") from error
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return value
    raise ValueError("its JSON is nested too deep")


@contextlib.contextmanager
def own_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new private folder in `parent` that is removed at the end.

    Folders of the same prefix that killed processes left behind are removed first.

    Raises:
        OSError: If it cannot be created.
    """
    for leftover in parent.glob(f"{prefix}*"):
        with claimed(leftover) as free:
            if free:
                shutil.rmtree(leftover, ignore_errors=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with claimed(folder):
            if not folder.exists():  # another process took it for a leftover before it was claimed
                continue
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[bool | None]:
    """Holds a claim on the folder; yields whether nobody else held one, None if it is not known.

    The kernel drops the claim when the process ends, however it ends.
    """
    if fcntl is None:
        yield None
        return
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # gone, or another user's
        yield None
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:  # a file system that cannot lock folders
            yield None
            return
        yield True
    finally:
        os.close(handle)


def exchange(one: Path, other: Path) -> bool:
    """Swaps two folders of one file system in a single step; whether the system can do that."""
    libc = ctypes.CDLL(None, use_errno=True)
    here, swap = -100, 2  # AT_FDCWD; RENAME_EXCHANGE, and RENAME_SWAP of macOS
    paths = os.fsencode(one), os.fsencode(other)
    if hasattr(libc, "renameat2"):
        failed = libc.renameat2(here, paths[0], here, paths[1], swap)
    elif hasattr(libc, "renamex_np"):
        failed = libc.renamex_np(*paths, swap)
    else:
        return False
    if failed and ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    return not failed
