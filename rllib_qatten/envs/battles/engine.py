"""What the env `smac` and `rllib doctor` need from an engine that plays battles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rllib_qatten.envs.team import TeamVector


@dataclass(frozen=True)
class Problem:
    """Something that keeps an engine from playing.

    Attributes:
        what: A clause for a message.
        fix: The command that fixes it.
    """

    what: str
    fix: str


@dataclass(frozen=True)
class Finding:
    """One thing that `rllib doctor` looked for.

    Attributes:
        name: What it is.
        found: What was found.
        good: Whether that is good enough.
        fix: The command that fixes it, if there is one.
        needed: Whether nothing can be played without it.
    """

    name: str
    found: str
    good: bool = True
    fix: str = ""
    needed: bool = True


class BattleEngine(ABC):
    """An engine as the env `smac` sees it; all that is specific to an engine lives here.

    Attributes:
        name: As in env_config.engine.
        title: As messages name it.
    """

    name: str
    title: str

    @abstractmethod
    def check_battle(self, map_name: Any) -> None:
        """Makes sure that the engine has this battle.

        Raises:
            ValueError: If it does not, naming the battles that it has.
        """

    @abstractmethod
    def problem(self, map_name: Any) -> Problem | None:
        """What keeps the engine from playing a battle here; imports and starts nothing."""

    @abstractmethod
    def vectorizer(self, map_name: Any, config: dict[str, Any]) -> Callable[[int], TeamVector]:
        """A function that builds the vector of teams for a number of games.

        Args:
            map_name: A battle that `check_battle` accepted.
            config: The other keys of env_config, without `engine`.

        Raises:
            ValueError: For a setting that the engine refuses.
        """

    @abstractmethod
    def findings(self) -> Iterator[Finding]:
        """What the engine needs and whether it is installed here, for `rllib doctor`."""
