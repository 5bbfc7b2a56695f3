"""Small games whose solutions are known: one-step matrix games and the two-step game."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.errors import one_of


class _StateGame(MultiAgentEnv):
    """Agents that all see the game's state as a one-hot vector; subclasses write `outcome`."""

    def __init__(self, n_agents: int, n_actions: Sequence[int], n_states: int, steps: int) -> None:
        super().__init__()
        self.episode_limit = steps
        self.agents = self.possible_agents = [f"agent_{i}" for i in range(n_agents)]
        self.state_space = gym.spaces.Box(0.0, 1.0, (n_states,), np.float32)
        self.observation_spaces = dict.fromkeys(self.agents, self.state_space)
        self.action_spaces: dict[str, gym.spaces.Discrete] = {
            agent: gym.spaces.Discrete(n) for agent, n in zip(self.agents, n_actions, strict=True)
        }
        self._now = 0

    def outcome(self, joint: tuple[int, ...]) -> tuple[float, int | None]:
        """Reward of a joint action and the next state, None at the end."""
        raise NotImplementedError

    def state(self) -> np.ndarray:
        """The state as one-hot [S]."""
        state = np.zeros(self.state_space.shape, np.float32)
        state[self._now] = 1.0
        return state

    def get_state(self) -> int:
        """The state of the current game, which is all there is to save."""
        return self._now

    def set_state(self, state: int) -> None:
        """Continues from a saved state."""
        self._now = state

    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Starts in state 0; the games are deterministic."""
        self._now = 0
        return dict.fromkeys(self.agents, self.state()), {}

    def step(self, action_dict: dict[str, int]) -> tuple[dict, dict, dict, dict, dict]:
        """Plays one joint action."""
        reward, following = self.outcome(tuple(action_dict[agent] for agent in self.agents))
        done = following is None
        self._now = self._now if following is None else following
        return (
            dict.fromkeys(self.agents, self.state()),
            dict.fromkeys(self.agents, reward),
            {"__all__": done},
            {"__all__": False},
            {},
        )


class MatrixGame(_StateGame):
    """One step, one state, a payoff for every joint action.

    Args:
        config: `payoff`, nested lists with one axis per agent; the default is the 3x3 game of the
            QTRAN paper (Son et al. 2019, Table 1).
    """

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        """See class.

        Raises:
            ValueError: If the payoff is not a full array of numbers with one axis per agent.
        """
        config = config or {}
        for key in config:
            one_of(key, ["payoff"], "env_config key of the env 'matrix_game'")
        payoff = config.get("payoff", [[8, -12, -12], [-12, 0, 0], [-12, 0, 0]])
        try:
            self.payoff = np.array(payoff, np.float32)
        except (TypeError, ValueError):
            self.payoff = np.zeros((), np.float32)
        if self.payoff.ndim < 1 or not self.payoff.size or not np.isfinite(self.payoff).all():
            raise ValueError(
                "env_config.payoff must be nested lists of finite numbers, one axis per agent and "
                f"all rows of an axis equally long, e.g. [[8, -12], [-12, 0]]; got {payoff!r}."
            )
        super().__init__(self.payoff.ndim, self.payoff.shape, n_states=1, steps=1)

    def outcome(self, joint: tuple[int, ...]) -> tuple[float, int | None]:
        """See base class."""
        return float(self.payoff[joint]), None


class TwoStepGame(_StateGame):
    """The two-step game of the QMIX paper (Rashid et al. 2018, Section 5).

    In the first step agent_0 alone chooses between game 2A, which pays 7 whatever is played, and
    game 2B, which pays 8 only if both agents take their second action.
    """

    GAMES = ([[7.0, 7.0], [7.0, 7.0]], [[0.0, 1.0], [1.0, 8.0]])

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        """See class; takes no settings.

        Raises:
            ValueError: If any are given.
        """
        if config:
            raise ValueError(f"The env 'two_step_game' has no settings; got env_config {config!r}.")
        super().__init__(2, (2, 2), n_states=3, steps=2)

    def outcome(self, joint: tuple[int, ...]) -> tuple[float, int | None]:
        """See base class."""
        if self._now == 0:
            return 0.0, 1 + joint[0]
        return self.GAMES[self._now - 1][joint[0]][joint[1]], None
