"""The way back: a team environment as a PettingZoo `ParallelEnv`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
from pettingzoo import ParallelEnv
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.adapters.pettingzoo import DECLARED
from rllib_qatten.envs.adapters.team_env import as_team_env
from rllib_qatten.envs.python_teams import mask_key
from rllib_qatten.envs.registry import env_creator
from rllib_qatten.envs.team import ACTION_MASK, BATTLE_WON, COMMON


def as_parallel_env(env: str | Callable | MultiAgentEnv, **env_config: Any) -> ParallelEnv:
    """Makes an environment of this package, or one of your own, PettingZoo's.

    Args:
        env: What a YAML's `env` may be ("smac", "my_module:MyEnv"), a class, or an environment.
        **env_config: Its settings, as in `as_parallel_env("smac", map_name="3m")`.

    Returns:
        A `ParallelEnv`. Masked observations are {"observation": [O], "action_mask": [A]}, infos
        hold "alive" and, at the end of a battle, "battle_won"; `state()` is [S] where there is one.

    Raises:
        ValueError: If there is no such environment.
    """
    if not isinstance(env, MultiAgentEnv):
        env = env_creator(env)(env_config)
    return _TeamAsParallel(as_team_env(env))


class _TeamAsParallel(ParallelEnv):
    def __init__(self, env: MultiAgentEnv) -> None:
        self._env = env
        self.possible_agents = list(env.possible_agents)
        self.agents: list[str] = []
        self.metadata: dict[str, Any] = {
            "name": getattr(env, "engine", type(env).__name__),
            "render_modes": [],
        }
        self.render_mode = None
        self._mask_keys = {a: mask_key(env.observation_spaces[a]) for a in self.possible_agents}
        self.observation_spaces = {
            agent: self._masked(agent, env.observation_spaces[agent], gym.spaces.Dict)
            for agent in self.possible_agents
        }
        self.action_spaces = dict(env.action_spaces)
        for name in (*DECLARED, "state", "state_space"):
            if hasattr(env, name):
                setattr(self, name, getattr(env, name))

    def observation_space(self, agent: str) -> gym.Space:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gym.Space:
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        self.agents = list(self.possible_agents)
        observations, infos = self._env.reset(seed=seed, options=options)
        return self._seen(observations), {agent: infos.get(agent, {}) for agent in self.agents}

    def step(self, actions: dict[str, int]) -> tuple[dict, dict, dict, dict, dict]:
        acted = self.agents
        if not acted:
            return {}, {}, {}, {}, {}
        observations, rewards, terminateds, truncateds, infos = self._env.step(
            {agent: int(actions[agent]) for agent in acted}
        )
        ended, cut = terminateds["__all__"], truncateds["__all__"]
        terminated = {a: bool(ended or terminateds.get(a, False)) for a in acted}
        truncated = {a: bool(cut or truncateds.get(a, False)) and not terminated[a] for a in acted}
        told = {agent: dict(infos.get(agent, {})) for agent in acted}
        if BATTLE_WON in infos.get(COMMON, {}):
            for info in told.values():
                info[BATTLE_WON] = infos[COMMON][BATTLE_WON]
        seen = self._seen(observations)
        self.agents = [a for a in acted if not (terminated[a] or truncated[a])]
        return seen, {a: float(rewards[a]) for a in acted}, terminated, truncated, told

    def close(self) -> None:
        self._env.close()

    def _seen(self, observations: dict[str, Any]) -> dict[str, Any]:
        return {
            agent: self._masked(agent, observations[agent], dict)
            for agent in self.agents
            if agent in observations
        }

    def _masked(self, agent: str, whole: Any, kind: Callable[[dict], Any]) -> Any:
        """An observation, or its space, under PettingZoo's key instead of RLlib's."""
        key = self._mask_keys[agent]
        if key is None:
            return whole
        return kind({"observation": whole[key], ACTION_MASK: whole[ACTION_MASK]})
