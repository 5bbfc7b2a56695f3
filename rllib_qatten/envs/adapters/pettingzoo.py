"""The env `pettingzoo`: a cooperative PettingZoo `ParallelEnv` as a team."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import Any

import gymnasium as gym
import numpy as np
from pettingzoo import ParallelEnv
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.adapters.inner import take_over
from rllib_qatten.envs.construct import construct
from rllib_qatten.envs.declared import attribute, takes
from rllib_qatten.envs.import_path import engine_name, load_env, load_module
from rllib_qatten.envs.spaces import is_numeric, kind_of
from rllib_qatten.envs.team import TeamContractError


class ParallelTeam(MultiAgentEnv):
    """A `ParallelEnv` in RLlib's interface, with its `state()` where it has one.

    Unlike RLlib's own wrapper it supports the state, agents that leave early, and games that
    terminate for some agents and are truncated for others: those count as truncated.

    Args:
        env: The environment; it is reset once to get the shape of its state.
        engine: Its name in results; by default PettingZoo's.
    """

    def __init__(self, env: ParallelEnv, engine: str | None = None) -> None:
        """See class."""
        super().__init__()
        self._env = env
        # PettingZoo's usual name for the time limit.
        self.episode_limit = attribute(env.unwrapped, "max_cycles")
        self.engine = engine or str(env)
        take_over(self, env)
        self.possible_agents = attribute(env, "possible_agents")
        agents = self.possible_agents if isinstance(self.possible_agents, Collection) else ()
        self.observation_spaces = _spaces(env.observation_space, agents)
        self.action_spaces = _spaces(env.action_space, agents)
        self._find_state()

    def _find_state(self) -> None:
        """Takes over the env's `state()`, if any; without a `state_space`, its shape gives one."""
        state, space = attribute(self._env, "state"), attribute(self._env, "state_space")
        if takes(state):
            self._env.reset()
            try:
                value = state()
            except NotImplementedError:  # PettingZoo's way of having none
                return
            except (Exception, SystemExit):  # `check_env` runs into it again and reports it
                value = 0.0
            if space is None:
                if not is_numeric(value):
                    raise TeamContractError.of(
                        self._env,
                        f"state() returned {kind_of(value)}: declare state_space, the space of "
                        "what it returns",
                    )
                space = gym.spaces.Box(-np.inf, np.inf, np.shape(value), np.float32)
        elif not isinstance(space, gym.Space):
            return
        self.state, self.state_space = state, space

    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Starts a new game."""
        return self._env.reset(seed=seed, options=options)

    def step(self, action_dict: dict[str, int]) -> tuple[dict, dict, dict, dict, dict]:
        """Plays one step of the agents that are in the game."""
        answer = self._env.step(action_dict)
        try:
            return self._joined(answer, action_dict.keys())
        except (TypeError, ValueError, AttributeError):
            return answer  # `check_env` and the vector refuse it and say why

    def _joined(self, answer: Any, acted: Collection[Any]) -> tuple[dict, dict, dict, dict, dict]:
        """A step's answer with the entries that concern all agents."""
        observations, rewards, terminated, truncated, infos = answer
        here = self._env.agents
        over = all(terminated.get(a) or truncated.get(a) for a in here)
        cut = over and any(truncated.values())
        # Some envs only remove an agent from their list.
        gone = {agent: True for agent in acted if agent not in here}
        return (
            observations,
            rewards,
            {**terminated, **gone, "__all__": over and not cut},
            {**truncated, "__all__": cut},
            infos,
        )

    def close(self) -> None:
        """Releases what the env holds."""
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
        made = construct(load_env(path), config, by_keyword=True)
    else:
        module = load_module(path)
        if not hasattr(module, "parallel_env"):
            kind = (
                "its agents act one after the other, but a team's agents all act at every step"
                if hasattr(module, "env")
                else "it is not a PettingZoo environment"
            )
            raise ValueError(f"The module {path!r} has no parallel_env: {kind}.")
        made = construct(module.parallel_env, config, by_keyword=True)
    if not isinstance(made, ParallelEnv):
        return made  # `as_team_env` refuses it and says why
    return ParallelTeam(made, engine_name(path, path))


def _spaces(of: Callable[[Any], gym.Space], agents: Collection[Any]) -> dict[Any, gym.Space]:
    spaces = {}
    for agent in agents:
        with contextlib.suppress(Exception):  # `check_env` says what is missing
            spaces[agent] = of(agent)
    return spaces
