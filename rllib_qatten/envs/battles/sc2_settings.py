"""Settings of the env `smac` on StarCraft II, checked before a game is launched for nothing."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from rllib_qatten.envs.battles import sc2_install, smacv2_teams
from rllib_qatten.envs.battles.sc2_process import GameProcess, Lost, Refused, ask
from rllib_qatten.envs.battles.sc2_rows import unit_rows
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.errors import EngineFailed, one_of

#: Seconds that SMAC gets to say what it takes and plays.
ANSWERS_WITHIN = 60.0
#: Settings that are not SMAC's: what they must be, and whether a value is.
OWN_SETTINGS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "time_limit_terminal": ("true or false", lambda v: isinstance(v, bool)),
    "hang_timeout_s": ("a number of seconds above 0", lambda v: type(v) in (int, float) and v > 0),
    "full_restart_episodes": ("a whole number, 0 or more", lambda v: type(v) is int and v >= 0),
    "max_game_processes": ("a whole number, 1 or more", lambda v: type(v) is int and v > 0),
}
#: SMAC's arguments that are decided elsewhere -> why another value than SMAC's is refused.
KEPT = {
    "seed": "games are seeded by the run: set seed beside env, in config",
    "continuing_episode": "say time_limit_terminal: false to let targets bootstrap from battles "
    "that the clock ends",
    "heuristic_ai": "a script would play in the team's place, and nothing true be learned",
    "heuristic_rest": "a script would play in the team's place, and nothing true be learned",
    "replay_dir": "training saves no replays: rllib evaluate CHECKPOINT --video FILE.SC2Replay "
    "saves one where you say",
    "replay_prefix": "rllib evaluate CHECKPOINT --video FILE.SC2Replay names the replay itself",
    "debug": "what SMAC logs in a game's process is seen only when the game fails",
}
#: SMAC's arguments that count something.
WHOLE = ("step_mul", "window_size_x", "window_size_y", "num_fov_actions", "kill_unit_step_mul")
#: SMAC's numbers that must be above 0, or lie within bounds.
POSITIVE = (*WHOLE, "move_amount", "reward_scale_rate")
SHARES = ("prob_obs_enemy",)


@dataclasses.dataclass(frozen=True)
class SC2Settings:
    """Settings of the env `smac` with engine sc2; all others go to SMAC's own `StarCraft2Env`.

    Attributes:
        package: "smac" or "smacv2".
        arguments: Of its env.
        time_limit_terminal: A battle that the clock ends has no value beyond, as in PyMARL's
            published results; False lets targets bootstrap from its end.
        hang_timeout_s: Seconds without an answer after which a game is given up; three times that
            while it launches.
        full_restart_episodes: A new game process after this many battles; 0 means never.
        max_game_processes: The most games that one env runner plays at once.
    """

    package: str
    arguments: dict[str, Any]
    time_limit_terminal: bool = True
    hang_timeout_s: float = 60.0
    full_restart_episodes: int = 0
    max_game_processes: int = 8

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
            arguments = smacv2_teams.arguments(map_name, config)
        else:
            arguments = {"map_name": map_name} | config
        if arguments.get("reward_sparse"):
            # SMAC would divide even +1 and -1 by the scale of the dense reward.
            arguments.setdefault("reward_scale", False)
        return cls(package, arguments, **own)

    def start(self, seed: int | None = None) -> GameProcess:
        """Starts a game's process."""
        process = GameProcess()
        process.send("make", self.package, self.arguments, seed)
        return process

    def checked(self) -> SC2Settings:
        """The same with arguments as SMAC takes them; nothing is launched.

        Raises:
            ValueError: For a setting that SMAC would not take.
            EngineFailed: If SMAC doesn't answer.
        """
        taken = _description(self.package)
        defaults = {key: value for key, value in taken["defaults"].items() if key != "map_name"}
        arguments = dict(self.arguments)
        name = arguments.pop("map_name")
        passed = {"map_name": name}
        for key, value in arguments.items():
            if key not in defaults:
                accepted = (*defaults.keys() - KEPT.keys(), *OWN_SETTINGS)
                one_of(key, accepted, "env_config key")
            passed |= _checked(key, value, defaults[key], taken)
        return dataclasses.replace(self, arguments=passed)

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
            entities=unit_rows(info["rows"], info["obs_shape"], info["n_actions"]),
        )


def _checked(key: str, value: Any, default: Any, taken: dict[str, Any]) -> dict[str, Any]:
    """One argument as SMAC takes it; nothing if it says what holds anyway.

    Raises:
        ValueError: If SMAC would not take it.
    """
    where = f"env_config.{key}"
    if key in KEPT:
        if value != default:
            raise ValueError(f"{where}: {value!r} cannot be had: {KEPT[key]}.")
        return {}
    if key == "difficulty":
        return {key: one_of(str(value), taken["difficulties"], where)}
    if key == "game_version":
        return {key: _version(value, taken["versions"])}
    if isinstance(default, Mapping):
        return {key: value}
    if wanted := _other_kind(key, value, default):
        raise ValueError(f"{where} must be {wanted}; got {value!r}.")
    return {key: value}


def _other_kind(key: str, value: Any, default: Any) -> str | None:
    """What a value must be, if it is not."""
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "true or false"
    if isinstance(default, str):
        return None if isinstance(value, str) else "text"
    if key == "step_mul" and value is None:
        return None  # the map's own
    kinds = (int,) if key in WHOLE else (int, float)
    wanted = "a whole number" if key in WHOLE else "a number"
    low, high = (0, 1) if key in SHARES else (-math.inf, math.inf)
    if key in POSITIVE:
        wanted += " above 0"
    elif key in SHARES:
        wanted += " between 0 and 1"
    good = type(value) in kinds and math.isfinite(value) and low <= value <= high
    return None if good and (value > 0 or key not in POSITIVE) else wanted


def _version(value: Any, versions: list[str]) -> str | None:
    """A version of the game, as pysc2 names it."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(
            f"env_config.game_version must be in quotes; got the number {value!r}: YAML reads 4.10 "
            'as 4.1. Write game_version: "4.10".'
        )
    full = f"{value}.0" if value.count(".") == 1 else value
    one_of(full, versions, "env_config.game_version (those installed are accepted)")
    return value


@functools.cache
def _description(package: str) -> dict[str, Any]:
    return _asked(package, "describe", package)


@functools.cache
def _info(package: str, arguments: str) -> dict[str, Any]:
    return _asked(package, "info", made_of=json.loads(arguments))


def _asked(
    package: str, method: str, *arguments: Any, made_of: dict[str, Any] | None = None
) -> Any:
    """A process's answer, of a game that is made of some arguments or of none.

    Raises:
        ValueError: If SMAC refuses what the game is made of.
        EngineFailed: If there is no answer.
    """
    process = GameProcess()
    try:
        if made_of is not None:
            process.send("make", package, made_of, None)
        answer = ask(process, ANSWERS_WITHIN, method, *arguments)
    finally:
        words = process.close()
    if isinstance(answer, Refused) and made_of is not None:
        raise ValueError(f"env_config makes no battle: {package} fails with {answer}.")
    if isinstance(answer, Lost):
        raise EngineFailed(f"{package} did not say what it plays: {answer}. {words}".strip())
    return answer


def forget() -> None:
    """Asks SMAC anew next time, as after an installation."""
    _description.cache_clear()
    _info.cache_clear()
