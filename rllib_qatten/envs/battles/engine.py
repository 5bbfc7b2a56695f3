"""What the env `smac` and `rllib doctor` ask of an engine that plays battles."""

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
        what: Half a sentence for a message.
        mend: The command that mends it.
    """

    what: str
    mend: str


@dataclass(frozen=True)
class Finding:
    """One thing that `rllib doctor` looked for.

    Attributes:
        name: What it is.
        found: What was found.
        good: Whether that will do.
        mend: The command that mends it, if one does.
        needed: Whether nothing can be played without it.
    """

    name: str
    found: str
    good: bool = True
    mend: str = ""
    needed: bool = True


class BattleEngine(ABC):
    """An engine as the env `smac` sees it; what only this engine knows is asked of it.

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
            ValueError: If it hasn't, naming what it has.
        """

    @abstractmethod
    def problem(self, map_name: Any) -> Problem | None:
        """What keeps the engine from playing a battle here; nothing is imported or started."""

    @abstractmethod
    def vectorizer(self, map_name: Any, config: dict[str, Any]) -> Callable[[int], TeamVector]:
        """What builds the vector of teams for a number of games.

        Args:
            map_name: A battle that `check_battle` let through.
            config: The other keys of env_config, without `engine`.

        Raises:
            ValueError: For a setting that the engine refuses.
        """

    @abstractmethod
    def findings(self) -> Iterator[Finding]:
        """What of all that the engine needs is installed here, for `rllib doctor`."""
