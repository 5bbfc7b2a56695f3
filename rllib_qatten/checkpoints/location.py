"""Finds the folder of a team from what a user gives: an address, Tune's object, run or trial."""

import math
import os
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from rllib_qatten import keys
from rllib_qatten.checkpoints import zoo
from rllib_qatten.errors import BadInput
from rllib_qatten.files import parse_json, read_bounded
from rllib_qatten.messages import say

#: In a checkpoint: the folder of the team, and the file that identifies it.
TEAM, MARK = "team_policy", "policy.json"
#: Tune's files: a trial's results, and which checkpoint was saved with which result.
RESULTS, SAVED = "result.json", "checkpoint_dir_name"
#: What it keeps of a whole run.
RUN = "experiment_state-*.json"
#: At most this many bytes of a trial's results are read.
RESULTS_LIMIT = 2**28


class _Scored(NamedTuple):
    """A checkpoint and the scores of its last evaluation; the larger is better, or later."""

    win_rate: float
    episode_return: float
    saved: float
    folder: Path


def local(checkpoint: Any) -> Path:
    """The folder that a user means.

    Args:
        checkpoint: A path, in which ~ is home; file://...; zoo:NAME; or an object that has a path:
            Tune's `Checkpoint`, or what has a `checkpoint`, such as `Result`.

    Raises:
        BadInput: For what is not a path, files on other machines, and unknown teams of the zoo.
    """
    given = getattr(checkpoint, "checkpoint", checkpoint)
    # Tune's Checkpoint, recognized by its class's name, which avoids importing pyarrow.
    filesystem = getattr(given, "filesystem", None)
    if filesystem is not None and type(filesystem).__name__ != "LocalFileSystem":
        raise BadInput(f"{given} is on another machine: give what its to_directory() returns.")
    given = getattr(given, "path", given)
    try:
        text = str(Path(given)) if not isinstance(given, str) else given
    except TypeError as error:
        raise BadInput(
            f"expected the folder of a checkpoint, got {given!r}: give a path, file://..., "
            "zoo:NAME, or Tune's Checkpoint or Result."
        ) from error
    if zoo.is_address(text):
        return zoo.team(text)
    # A Path collapses two slashes into one.
    if address := re.fullmatch(r"file:(?://(?:localhost)?)?(/(?!/).*)", text, re.DOTALL):
        text = unquote(address[1])
    elif re.match(r"[A-Za-z][\w+.-]+:/", text):
        raise BadInput(f"{text} is on another machine: copy the checkpoint to this one first.")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise BadInput(f"{text}: {error}.") from error


def from_users_folder(checkpoint: Any) -> Path:
    """As `local`, also in a trial of Tune's, which runs in a folder of its own."""
    return Path(os.environ.get("TUNE_ORIG_WORKING_DIR", ""), local(checkpoint)).absolute()


def find(checkpoint: Any) -> Path:
    """The folder `team_policy` of the checkpoint that a user means.

    Args:
        checkpoint: As for `local`. For the folder of a trial, or of a run of trials, the checkpoint
            with the best evaluation is used, else the newest, and a message says which.

    Raises:
        BadInput: If there is none.
    """
    path = local(checkpoint)
    try:
        for folder in (path / TEAM, path):
            if (folder / MARK).is_file():
                return folder
        if chosen := _best(path):
            return chosen / TEAM
        fault = _fault(path)
        near = nearby(path, Path(TEAM, MARK))
    except (OSError, ValueError) as error:  # a name that no file can have
        raise BadInput(f"{path}: no such folder: {error}.") from error
    name = path.name.rpartition(":")[2]  # of ZOO:NAME, too
    hint = near[0] if near else f"{zoo.PREFIX}{name}" if name in zoo.teams() else None
    raise BadInput(f"{path}: {fault}.{f' Did you mean {hint}?' if hint else ''}")


def nearby(path: Path, mark: Path) -> list[Path]:
    """Folders with a file `mark` below or next to a path that was probably meant to be one.

    Args:
        path: Any path.
        mark: The file that identifies the folders, as a path inside them.

    Returns:
        The folders, the newest first.

    Raises:
        OSError: If the path is a name that no file can have.
    """
    found = [file for depth in ("", "*/", "*/*/") for file in path.glob(f"{depth}*/{mark}")]
    found = found or list(path.parent.glob(f"*/{mark}"))
    found.sort(key=lambda file: -file.stat().st_mtime)
    return [file.parents[len(mark.parts) - 1] for file in found]


def checkpoint_of(team: Path) -> Path:
    """The checkpoint of a folder that `find` returned: its parent, or the folder alone."""
    return team.parent if team.name == TEAM else team


def _fault(path: Path) -> str:
    if not path.is_dir():
        return "a file, not a folder" if path.exists() else "no such folder"
    if (path / "rllib_checkpoint.json").is_file():
        return f"a checkpoint without {TEAM}/, so not of one of this package's algorithms"
    saved = any(any(path.glob(f"{depth}checkpoint_*")) for depth in ("", "*/"))
    if not saved and ((path / RESULTS).exists() or any(path.glob(RUN))):
        return "a run that has saved no checkpoint"
    return f"not a checkpoint: it holds no {TEAM}/"


def _best(path: Path) -> Path | None:
    """The best checkpoint of a trial or of a run's trials; None if it is neither."""
    saved = [f.parents[1] for depth in ("", "*/") for f in path.glob(f"{depth}{SAVED_AS}")]
    found = [scored for trial in {f.parent for f in saved} for scored in _scored(trial, saved)]
    if not found:
        return None
    best = max(found)
    what = "the only one" if len(found) == 1 else "the newest"
    if math.isfinite(best.win_rate):
        what = f"win rate {best.win_rate:.3g} in evaluation, the best"
    elif math.isfinite(best.episode_return):
        what = f"return {best.episode_return:.4g} in evaluation, the best"
    held = "one checkpoint" if len(found) == 1 else f"{len(found)} checkpoints"
    say(f"{path} holds {held}; using {best.folder}: {what}.")
    return best.folder


#: A checkpoint of a trial, as Tune names it.
SAVED_AS = f"checkpoint_*/{TEAM}/{MARK}"


def _scored(trial: Path, saved: list[Path]) -> list[_Scored]:
    """A trial's checkpoints with their scores, -inf where unknown."""
    folders = {folder.name: folder for folder in saved if folder.parent == trial}
    scores: dict[str, tuple[float, float]] = {}
    last = (-math.inf, -math.inf)
    try:
        lines = read_bounded(trial / RESULTS, RESULTS_LIMIT, inside=trial).splitlines()
    except (OSError, ValueError):
        lines = []
    for line in lines:
        try:
            row = parse_json(line)
        except ValueError:
            continue
        evaluated = _dict(_dict(_dict(row).get(keys.EVALUATION)).get(keys.ENV_RUNNERS))
        won, gained = evaluated.get(keys.WIN_RATE), evaluated.get(keys.EPISODE_RETURN_MEAN)
        now = _number(won), _number(gained)
        last = now if max(now) > -math.inf else last
        name = _dict(row).get(SAVED)
        if isinstance(name, str):
            scores[name] = last
    if folders:  # one saved at the end, after the last result, which does not name it
        scores.setdefault(max(folders), last)
    return [
        _Scored(*scores.get(name, (-math.inf, -math.inf)), _saved(folder), folder)
        for name, folder in folders.items()
    ]


def _saved(folder: Path) -> float:
    return (folder / TEAM / MARK).stat().st_mtime


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float:
    """-inf for anything but a finite number."""
    finite = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if finite else -math.inf
