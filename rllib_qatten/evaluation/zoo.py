"""What the package says about its trained teams: how they were trained and how often they win."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rllib_qatten.checkpoints import location, zoo
from rllib_qatten.envs.battles.armies import with_one_name
from rllib_qatten.errors import BadInput
from rllib_qatten.evaluation.estimate import Estimate
from rllib_qatten.files import parse_json, read_bounded

#: At most this many bytes of a team's JSON files are read.
LIMIT = 2**22


@dataclass(frozen=True)
class Entry:
    """A trained team that comes with the package.

    Attributes:
        name: Its name; zoo:NAME is its address.
        folder: Where its files are.
        policy: The content of its `policy.json`: algorithm, agent network, env.
        evaluation: Its greedy games: `games`, `won`, `return`, `seed`, `engine`, and the record of
            the evaluation (`command`, `date`, `commit`, `versions`, `machine`).
        training: `env_steps`, `minutes`, `settings` and the record of its run; None where unknown.
    """

    name: str
    folder: Path
    policy: dict[str, Any]
    evaluation: dict[str, Any]
    training: dict[str, Any]

    @property
    def battle(self) -> str:
        """The name of the battle that it was trained on."""
        return str(with_one_name(self.policy["environment"])["env_config"]["map_name"])

    @property
    def agent(self) -> str:
        """The kind of its agent network."""
        kind: str = self.policy["agent"].get("kind", "recurrent")
        return kind

    @property
    def win_rate(self) -> Estimate:
        """The share of its greedy games that it won."""
        return Estimate.of_share(self.evaluation["won"], self.evaluation["games"])

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.stat().st_size for file in self.folder.iterdir())

    def statement(self) -> str:
        """What it promises, as a sentence."""
        share, interval = self.win_rate.cells("{:.1%}")
        return (
            f"{zoo.PREFIX}{self.name} states {share} ({interval}) of {self.evaluation['games']} "
            f"games of {self.battle}, {self.evaluation['engine']}."
        )


def entries() -> list[Entry]:
    """All teams of the zoo, in the order of their names.

    Raises:
        BadInput: If files of one are missing or damaged.
    """
    return [entry(folder) for folder in zoo.teams().values()]


def entry(folder: Path) -> Entry:
    """One team of the zoo, from its folder.

    Raises:
        BadInput: If its files are missing or damaged.
    """
    try:
        about, policy = (
            parse_json(read_bounded(folder / file, LIMIT)) for file in (zoo.ABOUT, location.MARK)
        )
        return Entry(folder.name, folder, policy, about["evaluation"], about["training"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{folder}: is not a team of the zoo: {error!r}.") from error
