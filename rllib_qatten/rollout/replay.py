"""Replay of whole joint episodes."""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.rollout.episode import ARRAYS, TeamEpisode, bytes_per_entry

#: Bytes that are taken from the system at once.
CHUNK = 16 << 20
#: Where arrays begin, in bytes: a line of the processor's cache.
ALIGNED = 64


class Drawn(NamedTuple):
    """A batch from the replay, longest episode first, as batches are packed.

    Attributes:
        episodes: B episodes; their weights are what each one's loss counts.
        indices: [B] int64, each episode's number since the run began; see `update_priorities`.
    """

    episodes: list[TeamEpisode]
    indices: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """[B] what each episode's loss counts."""
        return np.array([episode.weight for episode in self.episodes])

    def dealt(self, n: int) -> list[Drawn]:
        """The batch as n shares, whose steps differ by less than the longest episode's."""
        return [Drawn(self.episodes[i::n], self.indices[i::n]) for i in range(n)]


class EpisodeReplay:
    """The newest episodes, drawn uniformly and without replacement within a batch.

    They are copied side by side into large chunks of memory. Episodes come and go in the same
    order, so a chunk is given back with its last episode, and memory stays flat however long games
    are; as arrays of their own they would leave holes. Also what a remote env runner sent lies in
    Ray's object store, which would fill up.

    Args:
        capacity: Episodes kept; the oldest make room for new ones.
        seed: Of the draws.
    """

    def __init__(self, capacity: int, seed: int | None = None) -> None:
        """See class."""
        self.capacity = capacity
        self._episodes: deque[TeamEpisode] = deque()
        self._oldest = 0  # number of the first episode held
        self._rng = np.random.default_rng(seed)
        self.nbytes = 0
        self._chunk = np.empty(0, np.uint8)
        self._used = 0  # bytes of it

    def __len__(self) -> int:
        """Number of episodes held."""
        return len(self._episodes)

    @property
    def episodes(self) -> list[TeamEpisode]:
        """The episodes held, from the oldest to the newest."""
        return list(self._episodes)

    def add(self, episodes: Iterable[TeamEpisode]) -> None:
        """Adds episodes in the order given."""
        for episode in episodes:
            if len(self._episodes) == self.capacity:
                self.nbytes -= self._episodes.popleft().nbytes
                self._oldest += 1
            arrays: dict[str, Any] = {name: self._moved(getattr(episode, name)) for name in ARRAYS}
            self._episodes.append(replace(episode, **arrays))
            self.nbytes += episode.nbytes

    def _moved(self, array: np.ndarray) -> np.ndarray:
        """A copy of the array in the replay's own memory."""
        begin = -(-self._used // ALIGNED) * ALIGNED
        if begin + array.nbytes > len(self._chunk):
            self._chunk = _from_the_system(max(CHUNK, array.nbytes))
            begin = 0
        self._used = begin + array.nbytes
        moved = self._chunk[begin : self._used].view(array.dtype).reshape(array.shape)
        moved[...] = array
        return moved

    def sample(self, batch_size: int, env_steps: int = 0) -> Drawn:
        """Draws episodes.

        Args:
            batch_size: B.
            env_steps: Steps played so far, which schedules follow.

        Raises:
            ValueError: If fewer are held.
        """
        if batch_size > len(self):
            raise ValueError(
                f"Cannot draw {batch_size} different episodes: the replay holds {len(self)}."
            )
        drawn = self._rng.choice(len(self), batch_size, replace=False)
        return self._drawn(drawn)

    def update_priorities(self, indices: np.ndarray, priorities: np.ndarray) -> None:
        """Takes note of how much there was to learn from drawn episodes: nothing if uniform.

        Args:
            indices: [B] int64, as drawn.
            priorities: [B] float, each episode's mean |TD error|.
        """

    def _drawn(self, places: np.ndarray) -> Drawn:
        episodes = [self._episodes[i] for i in places.tolist()]
        order = sorted(range(len(episodes)), key=lambda i: -len(episodes[i]))
        return Drawn([episodes[i] for i in order], places[order] + self._oldest)

    def get_state(self) -> dict[str, Any]:
        """State of the draws; the episodes themselves are not in it, see `replay_file`."""
        return {"rng": self._rng.bit_generator.state, "added": self._oldest + len(self)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues the draws of a saved replay, whose episodes were added before."""
        self._rng.bit_generator.state = state["rng"]
        self._oldest = state["added"] - len(self)


def _from_the_system(size: int) -> np.ndarray:
    """[size] uint8: memory of its own, where malloc would look for room among all else first."""
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    return np.frombuffer(mmap.mmap(-1, size, flags=private), np.uint8)


def predicted_bytes(spec: TeamSpec, capacity: int) -> int | None:
    """Bytes of a full replay if every game lasts to its time limit; None without a limit."""
    if spec.episode_limit is None:
        return None
    return capacity * (spec.episode_limit + 1) * bytes_per_entry(spec)
