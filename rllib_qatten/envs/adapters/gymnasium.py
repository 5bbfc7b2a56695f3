"""The env `gymnasium`: environments whose spaces are Tuples, one entry an agent (LBF, RWARE)."""

from __future__ import annotations

from typing import Any, cast

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.import_path import engine_name, load_module


class GymnasiumTeam(MultiAgentEnv):
    """A gymnasium env with Tuple spaces and a list of rewards in RLlib's interface.

    Args:
        env: The environment; its agents become agent_0, agent_1, ...
    """

    def __init__(self, env: gym.Env) -> None:
        """See class."""
        super().__init__()
        self._env = env
        actions = cast(gym.spaces.Tuple, env.action_space)
        self.agents = self.possible_agents = [f"agent_{i}" for i in range(len(actions))]
        self.observation_spaces = self._per_agent(env.observation_space)
        self.action_spaces = self._per_agent(actions)
        spec = env.spec
        self.engine = type(env.unwrapped).__name__
        self.episode_limit = None
        if spec is not None:
            self.engine = engine_name(spec.id, type(env.unwrapped).__module__)
            # Of gymnasium's own wrapper, or by the names that LBF and RWARE have for it.
            self.episode_limit = spec.max_episode_steps or next(
                filter(None, map(spec.kwargs.get, ("max_episode_steps", "max_steps"))), None
            )

    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Starts a new game."""
        observations, _ = self._env.reset(seed=seed, options=options)
        return self._per_agent(observations), {}

    def step(self, action_dict: dict[str, int]) -> tuple[dict, dict, dict, dict, dict]:
        """Plays one step."""
        joint = tuple(action_dict[agent] for agent in self.agents)
        observations, rewards, terminated, truncated, _ = self._env.step(joint)
        return (
            self._per_agent(observations),
            self._per_agent(rewards),
            {"__all__": bool(np.all(terminated))},
            {"__all__": bool(np.all(truncated))},
            {},
        )

    def close(self) -> None:
        """Frees what the env holds."""
        self._env.close()

    def _per_agent(self, values: Any) -> dict[str, Any]:
        return dict(zip(self.agents, values, strict=True))


def make_gymnasium(config: dict[str, Any] | None = None) -> gym.Env:
    """Makes the env `gymnasium`; `as_team_env` wraps it.

    Args:
        config: `id` is gymnasium's, after the module that registers it:
            "lbforaging:Foraging-8x8-2p-3f-v3"; all other keys are arguments of `gymnasium.make`.

    Raises:
        ValueError: If the id is missing.
        ModuleNotFoundError: If the module is.
        gymnasium.error.Error: If there is no env of that id.
    """
    config = dict(config or {})
    name = config.pop("id", None)
    if not isinstance(name, str):
        raise ValueError(
            "env_config.id must be a gymnasium id after the module that registers it, as in id: "
            f"lbforaging:Foraging-8x8-2p-3f-v3; got {name!r}."
        )
    module, _, name = name.rpartition(":")
    if module:
        load_module(module)
    # The checker of gymnasium is for one agent: a list of rewards would be a fault.
    return gym.make(name, disable_env_checker=True, **config)
