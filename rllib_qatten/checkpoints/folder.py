"""Checkpoint folders that are complete or absent, with checks that name what is wrong."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import re
import shutil
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pyarrow.fs
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import (
    COMPONENT_LEARNER,
    COMPONENT_LEARNER_GROUP,
    COMPONENT_RL_MODULE,
    DEFAULT_MODULE_ID,
)

from rllib_qatten.checkpoints import zoo
from rllib_qatten.files import exchange, own_folder, take_mode
from rllib_qatten.version import __version__

#: Every file and its checksum, in the format of the command `sha256sum`.
SUMS = "SHA256SUMS"
#: Tune's names of a trial's checkpoints.
NUMBERED = re.compile(r"checkpoint_\d+")
#: The replay's episodes: the only optional file of a checkpoint.
REPLAY = "replay.zip"
#: Folders being written; hidden, so that none is mistaken for a checkpoint after a crash.
SAVING = ".saving_"
#: The old folder during a replacement, where the system cannot swap folders.
REPLACED = ".replaced_"
#: The warning for continuing from a checkpoint; other readers of checkpoints do not unpickle.
UNPICKLES = "continuing unpickles it, which can run any code: only do so if you trust it."
#: This package's keys in RLlib's metadata file.
ALGORITHM, VERSION = "algorithm", "rllib_qatten_version"


class CheckpointError(ValueError):
    """A checkpoint that cannot be loaded or saved; the message says why and what to do."""


def metadata(name: str) -> dict[str, str]:
    """What a checkpoint of the algorithm `name` adds to RLlib's metadata."""
    return {ALGORITHM: name, VERSION: __version__}


def absolute(path: str | os.PathLike[str]) -> str:
    """The absolute form of a user's path (with ~, relative, file://); other addresses as is.

    Raises:
        CheckpointError: For a team of the zoo, which is no checkpoint of a run.
    """
    text = os.fspath(path)
    if zoo.is_address(text):
        raise CheckpointError(zoo.no_checkpoint(text))
    if text.startswith("file://"):
        text = urllib.parse.unquote(text.removeprefix("file://").removeprefix("localhost/"))
    return text if "://" in text else str(Path(text).expanduser().absolute())


@contextlib.contextmanager
def replacing(path: str | Path, filesystem: pyarrow.fs.FileSystem | None) -> Iterator[Path]:
    """A new folder that replaces `path` once it is completely written.

    Args:
        path: A folder that need not exist, or an address like s3://bucket/folder.
        filesystem: Of the path; found from the path if None.

    Raises:
        CheckpointError: If it cannot be written, or if the folder holds anything but an earlier
            checkpoint of this package; what was at `path` is unchanged.
    """
    filesystem, local = _resolve(path, filesystem)
    target = Path(os.path.realpath(local)) if _is_local(filesystem) else None
    beside = target.parent if target else Path(tempfile.gettempdir())
    try:
        if target:
            _assert_replaceable(target)
        beside.mkdir(parents=True, exist_ok=True)
        _put_back(beside)
        with own_folder(beside, SAVING) as folder:
            yield folder
            _seal(folder)
            if target:
                _swap(folder, target)
            else:
                pyarrow.fs.copy_files(str(folder), local, destination_filesystem=filesystem)
    except OSError as error:
        raise not_saved(path, error) from error


@contextlib.contextmanager
def on_this_machine(path: str | Path, filesystem: pyarrow.fs.FileSystem | None) -> Iterator[Path]:
    """The checkpoint at `path` as a local folder, downloaded if necessary."""
    filesystem, local = _resolve(path, filesystem)
    if _is_local(filesystem):
        yield Path(local)
        return
    with tempfile.TemporaryDirectory() as folder:
        pyarrow.fs.copy_files(local, folder, source_filesystem=filesystem)
        yield Path(folder)


def verify(folder: Path, algorithm: str | None = None) -> dict[str, str]:
    """Verifies that a checkpoint is complete and unaltered.

    Args:
        folder: The checkpoint.
        algorithm: The name of the algorithm that it must be of; None if any of this package's may.

    Returns:
        Its metadata.

    Raises:
        CheckpointError: If it is not, with the first fault.
    """
    about = read_metadata(folder)
    name = about.get(ALGORITHM)
    if name is None or name != (algorithm or name):
        whose = f"a checkpoint of {name}" if name else "not a checkpoint of this package"
        wanted = f"; expected one of {algorithm}" if algorithm else ""
        raise CheckpointError(f"{folder} is {whose}{wanted}.")
    verify_sums(folder)
    return about


def verify_sums(folder: Path) -> None:
    """Verifies that every file of a checkpoint is there and as it was saved.

    Raises:
        CheckpointError: If not, with the first fault.
    """
    try:
        sums = _read_sums(folder)
    except (OSError, ValueError):
        raise CheckpointError(
            f"{folder} is incomplete: its last file, {SUMS}, is missing or damaged. Saving was "
            "cut short; use an earlier checkpoint."
        ) from None
    for file, digest in sums.items():
        path = folder / file
        if file == REPLAY and not path.exists():
            continue
        if not path.is_file():
            raise CheckpointError(f"{folder} is incomplete: {file} is missing.")
        if _sum(path) != digest:
            raise CheckpointError(
                f"{path} is damaged: it was cut short or altered since it was saved. Nothing was "
                "loaded; use another checkpoint."
            )


def read_metadata(folder: Path) -> dict[str, str]:
    """What a checkpoint says about itself.

    Raises:
        CheckpointError: If the folder is not a checkpoint of RLlib.
    """
    file = folder / Algorithm.METADATA_FILE_NAME
    try:
        about = json.loads(file.read_text())
    except FileNotFoundError:
        fault = f"{file.name} is missing" if folder.is_dir() else "no such folder"
        raise CheckpointError(f"{folder} is not a checkpoint: {fault}.") from None
    except NotADirectoryError:
        raise CheckpointError(
            f"{folder} is not a checkpoint: it is a file, and a checkpoint is a folder."
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} is damaged: {error}.") from None
    return about if isinstance(about, dict) else {}


def assert_learner_wrote(folder: Path) -> None:
    """Reads what a remote learner wrote into a checkpoint; RLlib ignores its errors.

    Raises:
        OSError: If a file is missing or cut short.
    """
    module = Path(COMPONENT_RL_MODULE) / DEFAULT_MODULE_ID / "module_state.pkl"
    for file in (Path("state.pkl"), module):
        try:
            with (folder / COMPONENT_LEARNER_GROUP / COMPONENT_LEARNER / file).open("rb") as opened:
                pickle.load(opened)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise OSError(f"the learner could not write its {file}") from error


def not_saved(path: str | Path, error: OSError) -> CheckpointError:
    """The error for a checkpoint that could not be saved, with the reason."""
    why = os.strerror(error.errno) if error.errno else error
    return CheckpointError(
        f"No checkpoint could be saved at {path}: {why}. Earlier checkpoints are intact."
    )


def forget_replays(filesystem: pyarrow.fs.FileSystem, trial: str) -> None:
    """Removes the replay from a trial's checkpoints except the newest two, to save space.

    After a crash Tune may know only of the last but one. Copies under other names keep theirs.
    """
    entries = filesystem.get_file_info(pyarrow.fs.FileSelector(trial))
    folders = [entry.path for entry in entries if NUMBERED.fullmatch(entry.base_name)]
    for folder in sorted(folders)[:-2]:
        file = f"{folder}/{REPLAY}"
        if filesystem.get_file_info(file).is_file:
            filesystem.delete_file(file)


def _seal(folder: Path) -> None:
    """Writes the checksums of all files, as the last step."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    lines = [f"{_sum(file)}  {file.relative_to(folder).as_posix()}\n" for file in files]
    (folder / SUMS).write_text("".join(lines))


def _sum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _read_sums(folder: Path) -> dict[str, str]:
    """File -> checksum."""
    lines = (folder / SUMS).read_text().splitlines()
    return {file: digest for digest, file in (line.split("  ", 1) for line in lines)}


def _assert_replaceable(folder: Path) -> None:
    """A checkpoint takes a folder's whole place, so that must not be where something else is.

    Raises:
        CheckpointError: If it is.
    """
    if _works_in(folder):
        why = "this process works in it"
    elif not folder.is_dir() or not any(folder.iterdir()):
        return
    else:
        with contextlib.suppress(CheckpointError):
            if ALGORITHM in read_metadata(folder):
                return
        why = "it holds other files, and no checkpoint of this package"
    raise CheckpointError(
        f"No checkpoint can be saved at {folder}: {why}. Name a new folder. Nothing was changed."
    )


def _works_in(folder: Path) -> bool:
    try:
        return Path.cwd().is_relative_to(folder)
    except FileNotFoundError:  # where it worked is gone
        return False


def _swap(new: Path, old: Path) -> None:
    """Replaces one folder by another; at every instant one of the two is there, complete."""
    take_mode(new, old)
    if not old.is_dir() or not any(old.iterdir()):
        new.rename(old)  # this replaces an empty folder
        return
    _adopt(old, new)
    if not exchange(new, old):
        old.rename(old.with_name(REPLACED + old.name))
        new.rename(old)
        _put_back(old.parent)


def _adopt(old: Path, new: Path) -> None:
    """Carries over what lies in an earlier checkpoint without being part of it."""
    sums = _read_sums(old) if (old / SUMS).exists() else {}
    parts = {SUMS, *(Path(file).parts[0] for file in sums)}
    for entry in old.iterdir():
        if entry.name in parts or (new / entry.name).exists():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, new / entry.name, symlinks=True, copy_function=_link)
        else:
            _link(entry, new / entry.name)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # a file system without links
        shutil.copy2(source, target, follow_symlinks=False)


def _put_back(beside: Path) -> None:
    """Completes replacements that a killed process left half done."""
    for replaced in beside.glob(f"{REPLACED}*"):
        target = replaced.with_name(replaced.name.removeprefix(REPLACED))
        if target.exists():
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            replaced.rename(target)


def _resolve(
    path: str | Path, filesystem: pyarrow.fs.FileSystem | None
) -> tuple[pyarrow.fs.FileSystem, str]:
    if filesystem:
        return filesystem, str(path)
    path = absolute(path)
    if "://" in path:
        return pyarrow.fs.FileSystem.from_uri(path)
    return pyarrow.fs.LocalFileSystem(), path


def _is_local(filesystem: pyarrow.fs.FileSystem) -> bool:
    return isinstance(filesystem, pyarrow.fs.LocalFileSystem)
