"""Tune's copies of a run's files, each of which is there as it was or as it is, never in part."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pyarrow.fs
from ray.train._internal import storage

#: Ray's file in the folder of every run.
MARKER = ".validate_storage_marker"
#: What Ray does: it writes over the files.
_overwrite = storage._upload_to_fs_path


def upload(
    local_path: str, fs: pyarrow.fs.FileSystem, fs_path: str, exclude: list[str] | None = None
) -> None:
    """Copies a file or a folder of results to where results are kept.

    Tune repeats this every few seconds. A process that is killed or a disk that is full would
    leave half a file of the run's state or of its curves, in place of a whole one.

    Raises:
        OSError: If a file cannot be written; the one before it is left then. Also if the run's
            folder is gone: what is written in its place would hide it once it is back.
    """
    if exclude or not isinstance(fs, pyarrow.fs.LocalFileSystem):
        _overwrite(local_path, fs, fs_path, exclude)
        return
    source, place = Path(local_path), Path(fs_path)
    if not any((folder / MARKER).exists() for folder in (place, *place.parents)):
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), fs_path)
    for file in [source] if source.is_file() else source.rglob("*"):
        if file.is_file():
            _replace(place / file.relative_to(source), file)


def _replace(target: Path, file: Path) -> None:
    """Replaces a file by the copy of another one in a single step."""
    # Always the same name: the next copy takes the place of one that was cut short.
    part = target.with_name(f".{target.name}.copying")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, part)
        part.replace(target)
    except FileNotFoundError:  # a temporary one that Tune has renamed meanwhile
        part.unlink(missing_ok=True)
    except OSError as error:
        if not part.is_dir():
            part.unlink(missing_ok=True)
        raise OSError(error.errno, os.strerror(error.errno or 0), str(target)) from error
