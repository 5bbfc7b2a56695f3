"""The way back: a team environment as a PettingZoo `ParallelEnv`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
from pettingzoo import ParallelEnv
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.adapters.inner import DECLARED
from rllib_qatten.envs.adapters.team_env import as_team_env
from rllib_qatten.envs.declared import declare
from rllib_qatten.envs.registry import env_creator
from rllib_qatten.envs.spaces import mask_key
from rllib_qatten.envs.team import ACTION_MASK, BATTLE_WON, COMMON
from rllib_qatten.errors import BadInput


def as_parallel_env(env: str | Callable | gym.Env | ParallelEnv, **env_config: Any) -> ParallelEnv:
    """Turns an environment of this package, or your own, into a PettingZoo environment.

    Args:
        env: What a YAML's `env` may be ("smac", "my_module:MyEnv"), a class, or an environment of
            any of the three kinds.
        **env_config: Its settings, as in `as_parallel_env("smac", map_name="3m")`; an environment
            has its own.

    Returns:
        A `ParallelEnv`. Masked observations are {"observation": [O], "action_mask": [A]}, infos
        hold "alive" and, at the end of a battle, "battle_won"; `state()` is [S], if there is one.

    Raises:
        ValueError: If there is no such environment, or no team can play it.
    """
    if isinstance(env, str) or (callable(env) and not isinstance(env, gym.Env | ParallelEnv)):
        return _TeamAsParallel(env_creator(env)(env_config))
    if env_config:
        raise BadInput(
            f"as_parallel_env got an env, which has its settings, and {env_config}: leave these "
            "out, or give the env's class."
        )
    return _TeamAsParallel(as_team_env(env))


class _TeamAsParallel(ParallelEnv):
    def __init__(self, env: MultiAgentEnv) -> None:
        declared = declare(env)
        spec = declared.spec
        self._env = env
        self.possible_agents = list(spec.agents)
        self.agents: list[Any] = []
        self.metadata: dict[str, Any] = {"name": spec.engine, "render_modes": []}
        self.render_mode = None
        spaces = dict(zip(spec.agents, declared.observation_spaces, strict=True))
        self._mask_keys = {agent: mask_key(space) for agent, space in spaces.items()}
        self.observation_spaces = {
            agent: self._masked(agent, space, gym.spaces.Dict) for agent, space in spaces.items()
        }
        self.action_spaces: dict[Any, gym.Space] = {
            agent: gym.spaces.Discrete(n)
            for agent, n in zip(spec.agents, declared.n_actions, strict=True)
        }
        for name in DECLARED:
            setattr(self, name, getattr(spec, name))
        if declared.state_space is not None:
            self.state, self.state_space = env.state, declared.state_space

    def observation_space(self, agent: Any) -> gym.Space:
        return self.observation_spaces[agent]

    def action_space(self, agent: Any) -> gym.Space:
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        observations, infos = self._env.reset(seed=seed, options=options)
        self.agents = [agent for agent in self.possible_agents if agent in observations]
        return self._seen(observations), {agent: infos.get(agent, {}) for agent in self.agents}

    def step(self, actions: dict[str, int]) -> tuple[dict, dict, dict, dict, dict]:
        if not self.agents:
            return {}, {}, {}, {}, {}
        observations, rewards, terminateds, truncateds, infos = self._env.step(
            {agent: int(actions[agent]) for agent in self.agents}
        )
        # Those that acted, and those that come back or join.
        reported = [a for a in self.possible_agents if a in self.agents or a in observations]
        ended, cut = terminateds.get("__all__", False), truncateds.get("__all__", False)
        terminated = {a: bool(ended or terminateds.get(a, False)) for a in reported}
        truncated = {
            a: bool(cut or truncateds.get(a, False)) and not terminated[a] for a in reported
        }
        own = {agent: dict(infos.get(agent) or {}) for agent in reported}
        common = infos.get(COMMON) or {}
        if BATTLE_WON in common:
            for info in own.values():
                info[BATTLE_WON] = common[BATTLE_WON]
        self.agents = reported
        seen = self._seen(observations)
        self.agents = [a for a in reported if not (terminated[a] or truncated[a])]
        return seen, {a: float(rewards.get(a, 0.0)) for a in reported}, terminated, truncated, own

    def close(self) -> None:
        self._env.close()

    def _seen(self, observations: dict[str, Any]) -> dict[str, Any]:
        return {
            agent: self._masked(agent, observations[agent], dict)
            for agent in self.agents
            if agent in observations
        }

    def _masked(self, agent: Any, whole: Any, kind: Callable[[dict], Any]) -> Any:
        """An observation, or its space, under PettingZoo's key instead of RLlib's."""
        key = self._mask_keys[agent]
        if key is None:
            return whole
        return kind({"observation": whole[key], ACTION_MASK: whole[ACTION_MASK]})
