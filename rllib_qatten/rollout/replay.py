"""Replay of whole joint episodes."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.rollout.episode import TeamEpisode, bytes_per_entry


class EpisodeReplay:
    """The newest episodes, drawn uniformly and without replacement within a batch.

    Args:
        capacity: Episodes kept; the oldest make room for new ones.
        seed: Of the draws.
    """

    def __init__(self, capacity: int, seed: int | None = None) -> None:
        """See class."""
        self.capacity = capacity
        self._episodes: deque[TeamEpisode] = deque()
        self._rng = np.random.default_rng(seed)
        self.nbytes = 0

    def __len__(self) -> int:
        """Number of episodes held."""
        return len(self._episodes)

    def add(self, episodes: list[TeamEpisode]) -> None:
        """Adds episodes in the order given."""
        for episode in episodes:
            if len(self._episodes) == self.capacity:
                self.nbytes -= self._episodes.popleft().nbytes
            self._episodes.append(episode)
            self.nbytes += episode.nbytes

    def sample(self, batch_size: int) -> list[TeamEpisode]:
        """Draws episodes.

        Raises:
            ValueError: If fewer are held.
        """
        if batch_size > len(self):
            raise ValueError(
                f"Cannot draw {batch_size} different episodes: the replay holds {len(self)}."
            )
        drawn = self._rng.choice(len(self), batch_size, replace=False)
        return [self._episodes[i] for i in drawn.tolist()]

    def get_state(self) -> dict[str, Any]:
        """State of the draws; the episodes themselves are not in it."""
        return {"rng": self._rng.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues the draws of a saved replay."""
        self._rng.bit_generator.state = state["rng"]


def predicted_bytes(spec: TeamSpec, capacity: int) -> int | None:
    """Bytes of a full replay if every game lasts to its time limit; None without a limit."""
    if spec.episode_limit is None:
        return None
    return capacity * (spec.episode_limit + 1) * bytes_per_entry(spec)
