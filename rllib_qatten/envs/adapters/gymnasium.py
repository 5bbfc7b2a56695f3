"""The env `gymnasium`: environments whose spaces are Tuples, one entry per agent (LBF, RWARE)."""

from __future__ import annotations

from typing import Any, cast

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.adapters.inner import take_over
from rllib_qatten.envs.declared import attribute, takes
from rllib_qatten.envs.import_path import engine_name, load_module
from rllib_qatten.envs.spaces import is_numeric
from rllib_qatten.envs.team import ACTION_MASK, ALIVE, COMMON, TeamContractError


class GymnasiumTeam(MultiAgentEnv):
    """A gymnasium env with Tuple spaces in RLlib's interface.

    A single reward, as in gymnasium's own interface, is the team's, given to every agent; rewards,
    flags and infos may also have one entry per agent. The game is over when it is for each
    agent, and was cut off if it was for any agent, as for a `ParallelEnv`.

    Args:
        env: The environment; its agents become agent_0, agent_1, ...
    """

    def __init__(self, env: gym.Env) -> None:
        """See class."""
        super().__init__()
        self._env = env
        actions = cast(gym.spaces.Tuple, env.action_space)
        self.agents = self.possible_agents = [f"agent_{i}" for i in range(len(actions))]
        seen = len(cast(gym.spaces.Tuple, env.observation_space))
        if seen != len(actions):
            raise TeamContractError.of(
                env,
                f"its observation_space has {seen} entries and its action_space {len(actions)}: "
                "give both one entry per agent",
            )
        self.observation_spaces = self._per_agent(env.observation_space)
        self.action_spaces = self._per_agent(actions)
        spec, inner = env.spec, env.unwrapped
        self.engine = type(inner).__name__
        self.episode_limit = None
        if spec is not None:
            self.engine = engine_name(spec.id, type(inner).__module__)
            # The names that LBF and RWARE use.
            names = ("max_episode_steps", "max_steps")
            self.episode_limit = next(filter(None, map(spec.kwargs.get, names)), None)
        take_over(self, env)
        if spec is not None and spec.max_episode_steps:  # gymnasium's own wrapper ends the games
            self.episode_limit = spec.max_episode_steps
        if takes(state := attribute(inner, "state")):
            self.state = state
        if isinstance(space := attribute(inner, "state_space"), gym.Space):
            self.state_space = space

    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Starts a new game."""
        answer: Any = self._env.reset(seed=seed, options=options)
        if not isinstance(answer, tuple) or len(answer) != 2:
            return answer  # `check_env` and the vector refuse it and say why
        observations, infos = answer
        return self._per_agent(observations), self._infos(infos)

    def step(self, action_dict: dict[str, int]) -> tuple[dict, dict, dict, dict, dict]:
        """Plays one step."""
        joint = tuple(action_dict[agent] for agent in self.agents)
        answer: Any = self._env.step(joint)
        if not isinstance(answer, tuple) or len(answer) != 5:
            return answer
        observations, rewards, terminated, truncated, infos = answer
        if not np.iterable(rewards):
            rewards = [rewards] * len(self.agents)
        terminated, truncated = self._joined(terminated, truncated)
        return (
            self._per_agent(observations),
            self._per_agent(rewards),
            {"__all__": terminated},
            {"__all__": truncated},
            self._infos(infos),
        )

    def close(self) -> None:
        """Releases what the env holds."""
        self._env.close()

    def _per_agent(self, values: Any) -> Any:
        """One entry per agent; anything else is left as it is, to be refused with the reason."""
        try:
            return dict(zip(self.agents, values, strict=True))
        except (TypeError, ValueError):
            return values

    def _joined(self, terminated: Any, truncated: Any) -> tuple[Any, Any]:
        """The game's flags from its agents'; what are no flags is left as it is, to be refused."""
        flags, shapes = (terminated, truncated), ((), (1,), (len(self.agents),))
        if all(isinstance(flag, bool) for flag in flags):
            return flags
        if not all(is_numeric(flag) and np.shape(flag) in shapes for flag in flags):
            return flags
        over = bool(np.logical_or(*flags).all())
        ended = over and bool(np.all(terminated))
        return ended, over and not ended

    def _infos(self, infos: Any) -> Any:
        """Masks and `alive` as the agents' infos, one entry per agent; the rest as the team's."""
        if isinstance(infos, list | tuple):
            return self._per_agent(infos)
        if not infos or not isinstance(infos, dict):
            return infos
        own = {name: infos[name] for name in (ACTION_MASK, ALIVE) if name in infos}
        common = {name: value for name, value in infos.items() if name not in own}
        given: dict[str, Any] = {COMMON: common} if common else {}
        for name, values in own.items():
            values = self._per_agent(values)
            for agent in self.agents:
                # Another length becomes a mask of the wrong shape, for the check to report.
                value = values[agent] if isinstance(values, dict) else values
                given.setdefault(agent, {})[name] = value
        return given


def make_gymnasium(config: dict[str, Any] | None = None) -> gym.Env:
    """Makes the env `gymnasium`; `as_team_env` wraps it.

    Args:
        config: `id` is gymnasium's, preceded by the module that registers it:
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
            "env_config.id must be a gymnasium id preceded by the module that registers it, as in "
            f"id: lbforaging:Foraging-8x8-2p-3f-v3; got {name!r}."
        )
    module, _, name = name.rpartition(":")
    if module:
        load_module(module)
    # Gymnasium's checker is for a single agent and would reject a list of rewards.
    return gym.make(name, disable_env_checker=True, **config)
