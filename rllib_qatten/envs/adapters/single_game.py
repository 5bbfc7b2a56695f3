"""One game of a vector of teams as an ordinary `MultiAgentEnv` with per-agent dicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.team import (
    ACTION_MASK,
    ALIVE,
    BATTLE_WON,
    COMMON,
    DROPPED,
    OBSERVATIONS,
    TeamVector,
    TeamView,
)


class SingleGame(MultiAgentEnv):
    """The compatibility path, for RLlib's own algorithms and wrappers.

    Our env runner calls `vectorize` instead and never sees a per-agent dict.

    Args:
        make_teams: Builds the vector of teams for a number of games.
    """

    def __init__(self, make_teams: Callable[[int], TeamVector]) -> None:
        """See class."""
        super().__init__()
        self.vectorize = make_teams
        self._teams = make_teams(1)
        self._view: TeamView | None = None
        self._over = True
        spec = self._teams.spec
        self.agents = self.possible_agents = list(spec.agents)
        box = gym.spaces.Box(-np.inf, np.inf, (spec.observation_size,), np.float32)
        mask = gym.spaces.MultiBinary(spec.n_actions)
        self.observation_spaces = {
            agent: gym.spaces.Dict({OBSERVATIONS: box, ACTION_MASK: mask}) for agent in spec.agents
        }
        self.action_spaces: dict[Any, gym.spaces.Discrete] = {
            agent: gym.spaces.Discrete(spec.n_actions) for agent in spec.agents
        }
        self.state_space = gym.spaces.Box(-np.inf, np.inf, (spec.state_size,), np.float32)
        self.unit_features = spec.unit_features
        self.unit_types = spec.unit_types
        self.is_battle = spec.is_battle
        self.engine = spec.engine
        self.episode_limit = spec.episode_limit
        self.entities = spec.entities

    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Starts a new game.

        The vector starts the next game by itself when one ends, so only the first reset, one with a
        seed, or one in the middle of a game starts anything.
        """
        if self._view is None or seed is not None or not self._over:
            self._view = self._teams.reset(seed)
        self._over = False
        self._seen = self._view
        return self._observations(), self._infos()

    def step(self, action_dict: dict[Any, int]) -> tuple[dict, dict, dict, dict, dict]:
        """Plays one step with one legal action per agent."""
        joint = np.array([[action_dict[agent] for agent in self.possible_agents]])
        step = self._teams.step(joint)
        self._seen, self._view = step.final, step.view
        self._over = bool(step.done[0])
        infos = self._infos()
        if self._over:
            infos[COMMON] = {BATTLE_WON: bool(step.won[0]), DROPPED: bool(step.dropped[0])}
        reward = float(step.rewards[0])
        return (
            self._observations(),
            dict.fromkeys(self.possible_agents, reward),
            {"__all__": bool(step.terminated[0])},
            {"__all__": bool(step.truncated[0])},
            infos,
        )

    def state(self) -> np.ndarray:
        """The global state [S] after the last reset or step."""
        return self._seen.state[0]

    def close(self) -> None:
        """Releases the game."""
        self._teams.close()

    def _observations(self) -> dict[Any, Any]:
        seen = self._seen
        return {
            agent: {
                OBSERVATIONS: seen.observations[0, i],
                ACTION_MASK: seen.legal_actions[0, i].astype(np.int8),
            }
            for i, agent in enumerate(self.possible_agents)
        }

    def _infos(self) -> dict[Any, Any]:
        alive = self._seen.alive[0]
        return {a: {ALIVE: bool(alive[i])} for i, a in enumerate(self.possible_agents)}
