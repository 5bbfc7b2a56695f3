"""Trivial teams that return ready arrays: what remains is the sampler's own cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs import TeamSpec, TeamStep, TeamVector, TeamView
from rllib_qatten.rollout.episode import TeamEpisode, action_dtype


@dataclass(frozen=True)
class Size:
    """How large a game and a batch are.

    Attributes:
        agents: N.
        observation: O.
        state: S.
        actions: A.
        unit: U, features per agent in the state.
        steps: T, length of a game.
        batch: B, episodes per update.
        games: G, games played at once.
    """

    agents: int
    observation: int
    state: int
    actions: int
    unit: int
    steps: int
    batch: int
    games: int

    @property
    def spec(self) -> TeamSpec:
        """As the package describes a team."""
        return TeamSpec(
            agents=tuple(f"agent_{i}" for i in range(self.agents)),
            n_actions=self.actions,
            observation_size=self.observation,
            state_size=self.state,
            unit_features=slice(0, self.agents * self.unit),
            engine="dummy",
            episode_limit=self.steps,
        )


#: The shapes of SMAC's maps of these names; "tiny" is for the tests.
SIZES = {
    "3m": Size(3, 30, 48, 9, 4, steps=60, batch=32, games=8),
    "3s5z": Size(8, 128, 216, 14, 7, steps=60, batch=32, games=8),
    "27m_vs_30m": Size(27, 285, 1170, 36, 4, steps=180, batch=8, games=8),
    "tiny": Size(3, 5, 12, 4, 2, steps=7, batch=4, games=2),
}


def random_arrays(size: Size, rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Views of so many games: arrays of `TeamView`, [rows, ...]."""
    rng = np.random.default_rng(seed)
    n = size.agents
    legal = rng.random((rows, n, size.actions)) < 0.6
    legal[..., 1] = True
    return {
        "observations": rng.uniform(-1, 1, (rows, n, size.observation)).astype(np.float32),
        "state": rng.uniform(-1, 1, (rows, size.state)).astype(np.float32),
        "legal_actions": legal,
        "alive": np.ones((rows, n), bool),
    }


def random_episodes(size: Size, ragged: bool, seed: int = 0) -> list[TeamEpisode]:
    """B episodes of T steps, or of lengths uniform in T/3..T where the longest has T."""
    rng = np.random.default_rng(seed)
    lengths = np.full(size.batch, size.steps)
    if ragged:
        lengths[1:] = rng.integers(size.steps // 3, size.steps + 1, size.batch - 1)
    episodes = []
    for i, steps in enumerate(lengths.tolist()):
        arrays = random_arrays(size, steps + 1, seed=seed + i)
        chances = rng.random((steps, size.agents, size.actions))
        episodes.append(
            TeamEpisode(
                **arrays,
                actions=np.where(arrays["legal_actions"][:-1], chances, -1)
                .argmax(-1)
                .astype(action_dtype(size.actions)),
                rewards=rng.normal(size=steps).astype(np.float32),
                terminated=bool(i % 2),
                won=None,
            )
        )
    return episodes


class DummyTeam(MultiAgentEnv):
    """A Python env that always returns the same, ready-made dicts.

    Args:
        config: `size`, a `Size`; `masked` (default True) whether observations come with an action
            mask, and the env with a state. RLlib's stock runner gets neither, which favours it.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        """See class."""
        super().__init__()
        size: Size = config["size"]
        spec, masked = size.spec, config.get("masked", True)
        self.agents = self.possible_agents = list(spec.agents)
        arrays = {name: array[0] for name, array in random_arrays(size, 1).items()}
        space: gym.Space = gym.spaces.Box(-10, 10, (size.observation,), np.float32)
        seen: list[Any] = list(arrays["observations"])
        if masked:
            mask = gym.spaces.MultiBinary(size.actions)
            space = gym.spaces.Dict({"observations": space, "action_mask": mask})
            masks = arrays["legal_actions"].astype(np.int8)
            seen = [{"observations": o, "action_mask": m} for o, m in zip(seen, masks, strict=True)]
            self._state = arrays["state"]
            self.state_space = gym.spaces.Box(-10, 10, self._state.shape, np.float32)
            self.state = lambda: self._state
            self.unit_features = spec.unit_features
        self.observation_spaces = dict.fromkeys(self.agents, space)
        self.action_spaces = dict.fromkeys(self.agents, gym.spaces.Discrete(size.actions))
        self.engine, self.episode_limit = spec.engine, spec.episode_limit
        self._seen = dict(zip(self.agents, seen, strict=True))
        self._rewards = dict.fromkeys(self.agents, 1.0)
        self._t = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        """Starts a game."""
        self._t = 0
        return dict(self._seen), {}

    def step(self, action_dict: dict[str, int]) -> tuple[dict, dict, dict, dict, dict]:
        """Plays a step; the last one of T ends the game."""
        self._t += 1
        over = self._t >= self.episode_limit
        return dict(self._seen), self._rewards, {"__all__": over}, {"__all__": False}, {}


class DummyBatch(DummyTeam):
    """The same game from an engine that is batched by nature."""

    def __init__(self, config: dict[str, Any]) -> None:
        """See `DummyTeam`."""
        super().__init__(config)
        self._size = config["size"]

    def vectorize(self, num_games: int) -> TeamVector:
        """The games as arrays."""
        return DummyVector(self._size, num_games)


class DummyVector(TeamVector):
    """G games whose arrays never change; all end together."""

    def __init__(self, size: Size, num_games: int) -> None:
        """See class."""
        super().__init__(size.spec, num_games)
        self._view = TeamView(**random_arrays(size, num_games))
        self._rewards = np.ones(num_games, np.float32)
        self._flags = np.zeros(num_games, bool), np.ones(num_games, bool)
        self._t = 0

    def reset(self, seed: int | None = None) -> TeamView:
        """See base class."""
        self._t = 0
        return self._view

    def step(self, actions: np.ndarray) -> TeamStep:
        """See base class."""
        self._t = (self._t + 1) % self.spec.episode_limit
        no, over = self._flags[0], self._flags[int(self._t == 0)]
        return TeamStep(self._rewards, over, no, no, final=self._view, view=self._view)
