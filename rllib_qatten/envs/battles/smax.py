"""SMAX, the engine-free battles of JaxMARL, as a vector of teams.

Not StarCraft II: the maps have SMAC's names and armies, the dynamics and the scripted enemy are
SMAX's own. Say "SMAX win rate", never "SMAC win rate". All games advance in one compiled call.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rllib_qatten.envs.battles.armies import Armies
from rllib_qatten.envs.battles.battle import Battle
from rllib_qatten.envs.battles.engine import BattleEngine, Finding, Problem
from rllib_qatten.envs.battles.smax_battle import FIRST_ATTACK, UNIT_FEATURES, read_battle
from rllib_qatten.envs.battles.smax_engine import engine
from rllib_qatten.envs.team import TeamStep, TeamVector, TeamView
from rllib_qatten.errors import one_of
from rllib_qatten.hardware import machine
from rllib_qatten.messages import say

HOW_TO_INSTALL = "pip install 'rllib-qatten[smax]'"
#: Bytes of one battle's observations above which it is refused.
MAX_BATTLE = 1e9
#: Bytes that SMAX works with, per game and pair of units; measured on 27m_vs_30m.
PAIR_BYTES = 300


def installed() -> bool:
    """Whether the extra `smax` is installed; imports nothing."""
    return importlib.util.find_spec("jaxmarl") is not None


def battle_bytes(armies: Armies) -> int:
    """Bytes of one recorded battle that lasts to its time limit."""
    n, units = len(armies.allies), len(armies.allies) + len(armies.enemies)
    # Of every other unit the numbers in the state and where it goes and whom it attacked.
    observation = (units - 1) * (UNIT_FEATURES + 3) + UNIT_FEATURES
    floats = n * observation + units * UNIT_FEATURES + 1
    return (armies.episode_limit + 1) * (4 * floats + n * (FIRST_ATTACK + units - n + 2))


class SMAXEngine(BattleEngine):
    """The engine `smax` of the env `smac`."""

    name = "smax"
    title = "SMAX"
    settings = ("map_name", "engine")

    def check_battle(self, map_name: Any) -> None:
        """See base class."""
        armies = Armies.read(map_name)
        if (size := battle_bytes(armies)) > MAX_BATTLE:
            raise ValueError(
                f"env_config.map_name: {armies.name} is too large: the observations of one battle "
                f"of {armies.episode_limit} steps take {machine.gigabytes(size)}, and the limit is "
                f"{machine.gigabytes(MAX_BATTLE)}. Take smaller armies."
            )

    def problem(self, map_name: Any) -> Problem | None:
        """See base class."""
        if installed():
            return None
        return Problem(
            "the engine-free battles need the extra 'smax', which is not installed", HOW_TO_INSTALL
        )

    def vectorizer(self, map_name: Any, config: dict[str, Any]) -> Callable[[int], TeamVector]:
        """See base class."""
        for key in config:
            one_of(key, self.settings, "env_config key of SMAX (further ones are StarCraft II's)")
        return functools.partial(SMAXTeams, Armies.read(map_name))

    def findings(self) -> Iterator[Finding]:
        """See base class."""
        try:
            checked = list(machine.check_requirements("smax"))
        except importlib.metadata.PackageNotFoundError:  # no ranges to compare with
            checked = [
                ("jaxmarl", machine.installed_version("jaxmarl") or "not installed", installed())
            ]
        for name, found, good in checked:
            yield Finding(name, found, good, "" if good else HOW_TO_INSTALL)


class SMAXTeams(TeamVector):
    """G battles on SMAX against the scripted enemy.

    Actions: 0 to 3 move, 4 stop (all a dead unit can do), 5 + j attack enemy j. Rewards are on
    SMAC's scale: enemy health lost, 10 in all, and 10 for the win. A battle is won when all enemies
    are dead and an ally lives, lost when all allies are dead, truncated at the map's time limit.
    """

    drawable = True
    compiles = True

    def __init__(self, armies: Armies, num_games: int = 1) -> None:
        """Builds the games; the first reset compiles them.

        Args:
            armies: Who fights whom.
            num_games: G; every new number is compiled anew.

        Raises:
            ValueError: If the games would take more memory than there is.
        """
        units = len(armies.allies) + len(armies.enemies)
        needed = num_games * (battle_bytes(armies) + PAIR_BYTES * units**2)
        if needed > (free := machine.available_memory()):
            raise ValueError(
                f"num_envs_per_env_runner: {num_games} games of {armies.name} take "
                f"{machine.gigabytes(needed)} and {machine.gigabytes(free)} are free here. Take "
                "fewer games or smaller armies."
            )
        self._name = armies.name
        self._engine = engine(armies, num_games)
        super().__init__(self._engine.spec, num_games)
        self.one_core = True
        self._key = self._engine.new_key(int.from_bytes(os.urandom(4), "little"))
        self._state: Any = None

    def reset(self, seed: int | None = None) -> TeamView:
        """See base class."""
        self._say_that_it_compiles()
        if seed is not None:
            self._key = self._engine.new_key(seed)
        self._key, self._state, view = self._engine.reset(self._key)
        return _to_numpy(view)

    def get_state(self) -> dict[str, np.ndarray] | None:
        """The random key and every array of the battles, by name."""
        return self._engine.named(self._key, self._state)

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """See base class."""
        self._say_that_it_compiles()
        self._key, self._state = self._engine.rebuilt(state)

    def battle(self, state: np.ndarray, actions: np.ndarray) -> Battle:
        """See base class."""
        return read_battle(state, actions)

    def _say_that_it_compiles(self) -> None:
        if not self._engine.compiled:
            say(
                f"Compiling {self.num_games} game(s) of {self._name} for SMAX "
                "(10-20 s the first time, then from the cache) ..."
            )
            self._engine.compiled = True

    def step(self, actions: np.ndarray) -> TeamStep:
        """See base class."""
        self._key, self._state, current, final, outcome = self._engine.step(
            self._key, self._state, np.ascontiguousarray(actions, np.int32)
        )
        rewards, terminated, truncated, won = map(np.asarray, outcome)
        before = _to_numpy(final)
        after = _to_numpy(current) if (terminated | truncated).any() else before
        return TeamStep(rewards, terminated, truncated, won, final=before, view=after)


def _to_numpy(view: dict[str, Any]) -> TeamView:
    # Copies: JAX's own arrays are read-only, and torch wants to share what it is given.
    return TeamView(**{name: np.array(array) for name, array in view.items()})
