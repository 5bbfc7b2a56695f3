"""Folders that do not outlive their process, and the swap of two."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows; leftovers stay there
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def own_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new private folder in `parent` that is removed at the end.

    Folders of the same prefix that killed processes left behind are removed first.

    Raises:
        OSError: If it cannot be created.
    """
    for leftover in parent.glob(f"{prefix}*"):
        with _claimed(leftover) as free:
            if free:
                shutil.rmtree(leftover, ignore_errors=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with _claimed(folder):
            if not folder.exists():  # another process took it for a leftover before it was claimed
                continue
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Holds a claim on the folder; yields whether nobody else held one, as far as can be known.

    The kernel drops the claim when the process ends, however it ends.
    """
    if fcntl is None:
        yield False
        return
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # gone, or another user's
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # in use, or a file system that cannot lock folders
            yield False
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
