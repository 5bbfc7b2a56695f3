"""A team for the zoo: evaluates a checkpoint and writes what acts, its mixer, and what is known."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune.result import TIME_TOTAL_S

from rllib_qatten import keys
from rllib_qatten.checkpoints import location, team_files, zoo
from rllib_qatten.errors import BadInput
from rllib_qatten.evaluation.environment import make_games
from rllib_qatten.evaluation.evaluate import evaluate
from rllib_qatten.evaluation.team_policy import TeamPolicy
from rllib_qatten.evaluation.zoo import Entry, entry
from rllib_qatten.experiment.experiment import check_name
from rllib_qatten.experiment.record import record as of_this
from rllib_qatten.files import exchange, own_folder, take_mode
from rllib_qatten.report.tables import number, read_table
from study import trial

#: In the repository, next to the package.
FOLDER = zoo.FOLDERS[1]
#: Where a policy's metadata says how it was made; `files` makes the rest from the networks.
MADE = ("rllib_qatten", "algorithm", "environment", "agents")


def add(
    checkpoint: Path,
    name: str,
    games: int,
    seed: int,
    command: str,
    on_games: Callable[[int], None] = lambda ended: None,
    zoo_folder: Path = FOLDER,
) -> Entry:
    """Evaluates a checkpoint's team and adds it to the zoo, in place of an earlier one.

    Args:
        checkpoint: As for `location.find`.
        name: The team's name.
        games: How many greedy games to play.
        seed: Of these games.
        command: The shell command that asked for it.
        on_games: Called with the number of games finished since.
        zoo_folder: Where the team's folder goes.

    Raises:
        BadInput: If it is not a checkpoint, did not play a battle, is in the zoo under another
            name, or games were dropped.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise BadInput(str(error)) from error
    folder = location.find(checkpoint)
    policy = TeamPolicy.from_checkpoint(folder)
    _assert_new(folder, name, zoo_folder)
    environment = policy.metadata["environment"]
    with contextlib.closing(make_games(policy, games, {}, None)) as teams:
        if teams.spec.engine != environment["engine"]:
            raise BadInput(f"{checkpoint} was trained on {environment['engine']}: play on that.")
        played = evaluate(policy, teams, games, seed, on_games)
    if played.win_rate is None or played.dropped:
        raise BadInput(f"{checkpoint}: {played.dropped} games dropped, or nothing to win.")
    # `auto` would play another engine where StarCraft II is installed.
    environment["env_config"]["engine"] = environment["engine"].partition(" ")[0]
    saved = location.checkpoint_of(folder)
    about = {
        "evaluation": {
            "games": len(played.episodes),
            "won": sum(bool(episode.won) for episode in played.episodes),
            "return": round(played.episode_return.mean, 3),
            "seed": seed,
            "engine": played.spec.engine,
            **of_this(command),
        },
        "training": _training(saved),
    }
    _write(folder, policy, about, zoo_folder / name)
    return entry(zoo_folder / name)


def _assert_new(folder: Path, name: str, zoo_folder: Path) -> None:
    """Refuses a team that the zoo has under another name."""
    weights = (folder / team_files.WEIGHTS).read_bytes()
    for other in sorted(zoo_folder.glob(f"*/{team_files.WEIGHTS}")):
        if other.parent.name != name and other.read_bytes() == weights:
            raise BadInput(
                f"{folder}: is in the zoo already, as {zoo.PREFIX}{other.parent.name}. To give it "
                f"the name {name}, remove {other.parent} first."
            )


def _training(saved: Path) -> dict[str, Any]:
    """What is known of the run: env steps and minutes until this checkpoint, settings, record."""
    rows, _ = read_table(saved.parent)
    # One saved at the end comes after the last result, which does not name it.
    named = [row for row in rows if row.get(location.SAVED) == saved.name]
    row = (named or rows[-1:] or [{}])[0]
    steps, seconds = number(row.get(keys.STEPS)), number(row.get(TIME_TOTAL_S))
    return {
        "env_steps": int(steps) if steps == steps else None,
        "minutes": round(seconds / 60, 1) if seconds == seconds else None,
        "settings": trial.settings(saved.parent),
        **trial.record(saved.parent),
    }


def _write(folder: Path, policy: TeamPolicy, about: dict[str, Any], target: Path) -> None:
    """Writes the team's files; an earlier team of that name is replaced as a whole."""
    target.parent.mkdir(exist_ok=True)
    metadata = policy.metadata
    files = team_files.files(
        policy.network.network.state_dict(),
        policy.network.layout,
        metadata["agent"],
        {key: metadata[key] for key in MADE},
        team_files.read_mixer(folder),
    )
    with own_folder(target.parent, f".{target.name}_") as new:
        for name, content in files.items():
            (new / name).write_bytes(content)
        text = json.dumps(about, indent=1)
        (new / zoo.ABOUT).write_text(f"{text}\n", encoding="utf-8")
        take_mode(new, target)
        if not target.exists():
            new.rename(target)
        elif not exchange(new, target):  # a system that cannot swap folders
            shutil.rmtree(target)
            new.rename(target)
