"""The env `pettingzoo`: a cooperative PettingZoo `ParallelEnv` as a team."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from pettingzoo import ParallelEnv
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.import_path import engine_name, load_env, load_module
from rllib_qatten.envs.team import BATTLE_WON, COMMON

#: What a team env may declare beyond RLlib's interface; taken over from the inner env.
DECLARED = ("unit_features", "is_battle", "engine", "episode_limit")


class ParallelTeam(MultiAgentEnv):
    """A `ParallelEnv` in RLlib's interface, with its `state()` where it has one.

    Other than RLlib's own wrapper it knows the state, agents that leave early, and a game that ends
    for some agents by themselves and for others by the clock: that counts as cut off.

    Args:
        env: The environment; it is reset once to look at its state.
        engine: Its name in results; by default PettingZoo's.
    """

    def __init__(self, env: ParallelEnv, engine: str | None = None) -> None:
        """See class."""
        super().__init__()
        self._env = env
        inner = env.unwrapped
        self.engine = engine or str(env)
        # PettingZoo's usual name of the time limit.
        self.episode_limit = getattr(inner, "max_cycles", None)
        for name in DECLARED:
            if hasattr(inner, name):
                setattr(self, name, getattr(inner, name))
        self.agents = self.possible_agents = list(getattr(env, "possible_agents", None) or ())
        self.observation_spaces = _spaces(env.observation_space, self.agents)
        self.action_spaces = _spaces(env.action_space, self.agents)
        if callable(getattr(env, "state", None)):
            env.reset()
            with contextlib.suppress(NotImplementedError):  # PettingZoo's way to have none
                shape = np.shape(env.state())
                self.state = env.state
                self.state_space = getattr(env, "state_space", None) or gym.spaces.Box(
                    -np.inf, np.inf, shape, np.float32
                )

    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Starts a new game."""
        return self._env.reset(seed=seed, options=options)

    def step(self, action_dict: dict[str, int]) -> tuple[dict, dict, dict, dict, dict]:
        """Plays one step of the agents that are still in the game."""
        observations, rewards, terminated, truncated, infos = self._env.step(action_dict)
        over = all(terminated.get(a) or truncated.get(a) for a in self._env.agents)
        cut = over and any(truncated.values())
        if any(info.get(BATTLE_WON) for info in infos.values()):
            infos = {**infos, COMMON: {BATTLE_WON: True}}
        return (
            observations,
            rewards,
            {**terminated, "__all__": over and not cut},
            {**truncated, "__all__": cut},
            infos,
        )

    def close(self) -> None:
        """Frees what the env holds."""
        self._env.close()


def make_pettingzoo(config: dict[str, Any] | None = None) -> Any:
    """Makes the env `pettingzoo`; `as_team_env` wraps it.

    Args:
        config: `env` is a PettingZoo module ("mpe2.simple_spread_v3") or the path of a class or
            function ("my_module:MyEnv"); all other keys are its arguments.

    Raises:
        ModuleNotFoundError: If the module is missing.
        ValueError: If there is no such env, or if it is turn-based.
    """
    config = dict(config or {})
    path = config.pop("env", None)
    if not isinstance(path, str):
        raise ValueError(
            "env_config.env must name a PettingZoo module, as in env: mpe2.simple_spread_v3, or a "
            f"class, as in env: my_module:MyEnv; got {path!r}."
        )
    if ":" in path:
        made = load_env(path)(**config)
    else:
        module = load_module(path)
        if not hasattr(module, "parallel_env"):
            kind = (
                "its agents act one after the other, but a team's agents all act at every step"
                if hasattr(module, "env")
                else "it is no PettingZoo environment"
            )
            raise ValueError(f"The module {path!r} has no parallel_env: {kind}.")
        made = module.parallel_env(**config)
    if not isinstance(made, ParallelEnv):
        return made  # which `as_team_env` refuses with the reason
    return ParallelTeam(made, engine_name(path, path))


def _spaces(of: Callable[[str], gym.Space], agents: list[str]) -> dict[str, gym.Space]:
    spaces = {}
    for agent in agents:
        with contextlib.suppress(KeyError, AttributeError):  # `check_env` says what is missing
            spaces[agent] = of(agent)
    return spaces
