"""StarCraft II through SMAC or SMACv2, as a vector of teams: one process per game.

The processes step in parallel and answer in arrays. A game that crashes, hangs or answers with an
error is dropped: its episode ends as truncated after its last good step, and its slot begins
another game in a new process.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rllib_qatten.envs.battles import sc2_install
from rllib_qatten.envs.battles.sc2_process import GameProcess, Lost, answers, ask
from rllib_qatten.envs.team import EngineFailed, TeamSpec, TeamStep, TeamVector, TeamView
from rllib_qatten.messages import say

#: Failures to begin a game, in a row, after which it is given up; each waits twice as long.
STARTS, FIRST_WAIT = 6, 0.5
#: Games lost in a row in one slot, without a step, after which something must be wrong with all.
LOST_IN_A_ROW = 50
#: A game takes longer to launch than to step.
LAUNCH_FACTOR = 3
#: SMACv2's own settings of its published battles: unit types, their weights, those that cannot
#: make up a whole team.
SMACV2_TEAMS: dict[str, tuple[list[str], list[float], list[str]]] = {
    "protoss": (["stalker", "zealot", "colossus"], [0.45, 0.45, 0.1], []),
    "terran": (["marine", "marauder", "medivac"], [0.45, 0.45, 0.1], ["medivac"]),
    "zerg": (["zergling", "baneling", "hydralisk"], [0.45, 0.1, 0.45], ["baneling"]),
}
SMACV2_SETTINGS: dict[str, Any] = {
    "obs_own_pos": True,
    "use_unit_ranges": True,
    "min_attack_range": 2,
}
#: Settings that are not SMAC's: what they must be, and whether a value is.
OWN_SETTINGS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "time_limit_terminal": ("true or false", lambda v: isinstance(v, bool)),
    "hang_timeout_s": ("a number of seconds above 0", lambda v: type(v) in (int, float) and v > 0),
    "full_restart_episodes": ("a whole number, 0 or more", lambda v: type(v) is int and v >= 0),
}


@dataclass(frozen=True)
class SC2Settings:
    """Settings of the env `smac` with engine sc2; all others go to SMAC's own `StarCraft2Env`.

    Attributes:
        package: "smac" or "smacv2".
        arguments: Of its env.
        time_limit_terminal: A battle that the clock ends has no value beyond, as in PyMARL's
            published results; False lets targets bootstrap from its end.
        hang_timeout_s: Seconds without an answer after which a game is given up; three times that
            while it launches.
        full_restart_episodes: A new game process after so many battles; 0 is never.
    """

    package: str
    arguments: dict[str, Any]
    time_limit_terminal: bool = True
    hang_timeout_s: float = 60.0
    full_restart_episodes: int = 0

    @classmethod
    def read(cls, map_name: str, config: dict[str, Any]) -> SC2Settings:
        """Reads env_config.

        Args:
            map_name: SMAC's or SMACv2's, or race_N_vs_M for SMACv2's published battles.
            config: The other keys.

        Raises:
            ValueError: For a value that is not of its kind.
        """
        config = dict(config)
        own = {key: config.pop(key) for key in OWN_SETTINGS if key in config}
        for key, value in own.items():
            wanted, accepts = OWN_SETTINGS[key]
            if not accepts(value):
                raise ValueError(f"env_config.{key} must be {wanted}; got {value!r}.")
        package = sc2_install.package_of(map_name)
        if package == "smacv2":
            arguments = _smacv2(map_name) | config
            if "capability_config" not in arguments:
                raise ValueError(
                    f"env_config.map_name {map_name!r} needs a capability_config beside it; or "
                    "name one of SMACv2's battles, such as protoss_5_vs_5."
                )
        else:
            arguments = {"map_name": map_name} | config
        if arguments.get("reward_sparse"):
            # SMAC would divide even +1 and -1 by the scale of the dense reward.
            arguments.setdefault("reward_scale", False)
        return cls(package, arguments, **own)

    def start(self, seed: int | None = None) -> GameProcess:
        """Starts a game's process."""
        return GameProcess(self.package, self.arguments, seed)

    @property
    def spec(self) -> TeamSpec:
        """The team's sizes, asked of SMAC without launching a game.

        Raises:
            ValueError: For a setting that SMAC refuses.
            EngineFailed: If SMAC doesn't answer.
        """
        info = _info(self.package, json.dumps(self.arguments, sort_keys=True))
        n, features = info["n_agents"], info["agent_features"]
        version = sc2_install.package_version(self.package)
        return TeamSpec(
            agents=tuple(f"agent_{i}" for i in range(n)),
            n_actions=info["n_actions"],
            observation_size=info["obs_shape"],
            state_size=info["state_shape"],
            unit_features=slice(0, n * len(features)) if features else None,
            is_battle=True,
            engine=f"sc2 ({info['game']}, {self.package} {version})",
            episode_limit=info["episode_limit"],
        )


def _smacv2(map_name: str) -> dict[str, Any]:
    """The arguments of SMACv2's published battles."""
    match = sc2_install.SMACV2_MAP.fullmatch(map_name)
    assert match is not None
    race, allies, enemies = match.groups()
    arguments = {"map_name": f"10gen_{race}"} | SMACV2_SETTINGS
    if allies:
        types, weights, exceptions = SMACV2_TEAMS[race]
        team = {"dist_type": "weighted_teams", "unit_types": types, "weights": weights}
        if exceptions:
            team["exception_unit_types"] = exceptions
        arguments["capability_config"] = {
            "n_units": int(allies),
            "n_enemies": int(enemies),
            "team_gen": team | {"observe": True},
            "start_positions": {
                "dist_type": "surrounded_and_reflect",
                "p": 0.5,
                "map_x": 32,
                "map_y": 32,
            },
        }
    return arguments


@functools.cache
def _info(package: str, arguments: str) -> dict[str, Any]:
    process = GameProcess(package, json.loads(arguments))
    try:
        info = ask(process, "info", 60.0)
    finally:
        words = process.close()
    if isinstance(info, Lost):
        raise EngineFailed(f"{package} did not say what it plays: {info}. {words}")
    return info


class SC2Teams(TeamVector):
    """G battles of StarCraft II, each in a process of its own.

    Actions: 0 no-op (only and always of the dead), 1 stop, 2 to 5 move, 6 + k attack enemy k (a
    Medivac heals ally k). Rewards, observations, state and legal actions are SMAC's own. Nothing is
    launched before the first reset.
    """

    def __init__(self, settings: SC2Settings, num_games: int = 1) -> None:
        """Prepares the games.

        Args:
            settings: What is played, and how.
            num_games: G.
        """
        super().__init__(settings.spec, num_games)
        self._settings = settings
        self._seeds = np.random.SeedSequence()
        self._games: dict[int, GameProcess] = {}
        self._view = TeamView.blank(self.spec, num_games)
        # Per slot: steps of its battle, battles of its process, battles lost in a row.
        self._steps, self._battles, self._lost = np.zeros((3, num_games), np.int64)
        self._begun = np.zeros(num_games, bool)

    def reset(self, seed: int | None = None) -> TeamView:
        """See base class. A seed needs new games; else battles that have just begun are kept."""
        if seed is not None:
            self._seeds = np.random.SeedSequence(seed)
            self.close()
        self._view = self._view.copy()
        if not self._games:
            say(f"Launching {self.num_games} game(s) of StarCraft II, a process each ...")
        self._begin(np.flatnonzero(~self._begun | (self._steps > 0)).tolist())
        return self._view

    def step(self, actions: np.ndarray) -> TeamStep:
        """See base class.

        An illegal action, as RLlib's env check plays, is replaced by no-op or stop: SMAC would end.

        Raises:
            EngineFailed: If games are lost all the time.
        """
        before = self._view
        legal = np.take_along_axis(before.legal_actions, actions[..., None], -1)[..., 0]
        actions = np.where(legal, actions, before.legal_actions.argmax(-1))
        for g, process in self._games.items():
            process.send(actions[g].tolist())
        rewards = np.zeros(self.num_games, np.float32)
        terminated, truncated, won, dropped = np.zeros((4, self.num_games), bool)
        final = before.copy()
        for g, answer in answers(dict(self._games), self._settings.hang_timeout_s):
            if isinstance(answer, Lost):
                dropped[g] = truncated[g] = True
                self._lost[g] += 1
                self._drop(g, answer, self._lost[g] >= LOST_IN_A_ROW)
                continue
            self._lost[g] = 0
            rewards[g], how, won[g], *seen = answer
            _write(final, g, *seen)
            limit = how == "time_limit"
            terminated[g] = how == "over" or (limit and self._settings.time_limit_terminal)
            truncated[g] = limit and not terminated[g]
        self._steps += 1
        self._view = final
        done = terminated | truncated
        if done.any():
            self._battles[done] += 1
            self._view = final.copy()
            self._begin(np.flatnonzero(done).tolist())
        return TeamStep(rewards, terminated, truncated, won, final, self._view, dropped)

    def save_replay(self) -> Any:
        """The bytes of the first game's own replay, of all battles since its launch; or `Lost`."""
        return ask(self._games[0], "save_replay", self._settings.hang_timeout_s)

    def close(self) -> None:
        """Ends all games; a reset would begin new ones."""
        for process in self._games.values():
            process.close()
        self._games.clear()
        self._begun[:] = False

    def _begin(self, slots: Iterable[int]) -> None:
        """Begins a battle in each of these slots and writes its first view."""
        every = self._settings.full_restart_episodes
        wait = FIRST_WAIT
        for attempt in range(1, STARTS + 1):
            failed = []
            for g in slots:
                if every and self._battles[g] >= every and g in self._games:
                    self._games.pop(g).close()
                if g not in self._games:
                    seed = int(self._seeds.spawn(1)[0].generate_state(1)[0] >> 1)
                    self._games[g] = self._settings.start(seed)
                    self._battles[g] = 0
                self._games[g].send("reset")
            asked = {g: self._games[g] for g in slots}
            for g, answer in answers(asked, LAUNCH_FACTOR * self._settings.hang_timeout_s):
                if isinstance(answer, Lost):
                    failed.append(g)
                    self._drop(g, answer, attempt == STARTS)
                    continue
                _write(self._view, g, *answer[3:])
                self._steps[g], self._begun[g] = 0, True
            if not failed:
                return
            slots = failed
            time.sleep(wait)
            wait *= 2

    def _drop(self, g: int, why: Lost, give_up: bool) -> None:
        """Ends a game that failed."""
        words = self._games.pop(g).close()
        self.game_restarts += 1
        self._begun[g] = False
        if give_up:
            self.close()
            raise EngineFailed(
                f"StarCraft II failed again and again: {why}."
                + (f" It printed: {words}" if words else "")
                + " `rllib doctor` looks for the cause."
            )


def _write(view: TeamView, g: int, observations: Any, state: Any, legal: Any) -> None:
    view.observations[g] = observations
    view.state[g] = state
    view.legal_actions[g] = legal
    # SMAC's living units never have the no-op, its dead ones nothing else.
    view.alive[g] = ~legal[:, 0]
