"""Prioritized replay of whole joint episodes (Schaul et al. 2016, arXiv 1511.05952)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from ray.rllib.utils.annotations import override

from rllib_qatten.rollout.episode import TeamEpisode
from rllib_qatten.rollout.exploration import EpsilonSchedule
from rllib_qatten.rollout.replay import Drawn, EpisodeReplay

#: Added to every priority, so that an episode without error may be drawn again.
LEAST = 1e-6


class PrioritizedReplay(EpisodeReplay):
    """The newest episodes, drawn in proportion to how much there was to learn from them.

    P(i) = p_i^alpha / sum_k p_k^alpha, each draw on its own, so that an episode can come twice.
    p_i is the mean |TD error| of the episode's last update; a new episode has the greatest priority
    given so far. Importance weights are w_i = (n P(i))^-beta, divided by the greatest one that any
    of the n episodes held could have. With thousands of episodes a cumulative sum per draw costs
    microseconds; a sum tree would pay for millions.

    Args:
        capacity: Episodes kept; the oldest make room for new ones.
        seed: Of the draws.
        priority_exponent: Alpha, above 0.
        importance_exponent: Beta in [0, 1], or a schedule of it over env steps.
    """

    def __init__(
        self,
        capacity: int,
        seed: int | None = None,
        *,
        priority_exponent: float,
        importance_exponent: float | list,
    ) -> None:
        """See class.

        Raises:
            ValueError: If an exponent is out of range.
        """
        super().__init__(capacity, seed)
        check_priority_exponent(priority_exponent)
        self._alpha = priority_exponent
        self._beta = EpsilonSchedule(importance_exponent, "importance_exponent")
        self._greatest = 1.0
        # Of episode number i at i modulo capacity.
        self._priorities = np.zeros(capacity)

    @override(EpisodeReplay)
    def add(self, episodes: Iterable[TeamEpisode]) -> None:
        """See base class; the new ones get the greatest priority."""
        for episode in episodes:
            super().add([episode])
            self._priorities[(self._oldest + len(self) - 1) % self.capacity] = self._greatest

    @property
    def probabilities(self) -> np.ndarray:
        """[n] float64, of each episode held to be drawn, from the oldest to the newest."""
        powers = self._priorities[self._slots] ** self._alpha
        return powers / powers.sum()

    @override(EpisodeReplay)
    def sample(self, batch_size: int, env_steps: int = 0) -> Drawn:
        """See base class."""
        if batch_size > len(self):
            raise ValueError(
                f"A batch of {batch_size} episodes needs that many in the replay: it holds "
                f"{len(self)}."
            )
        p = self.probabilities
        places = np.searchsorted(p.cumsum(), self._rng.random(batch_size), side="right")
        # Rounding can leave the sum a little below 1.
        places = np.minimum(places, len(self) - 1)
        drawn = self._drawn(places)
        p = p[drawn.indices - self._oldest] / p.min()
        weights = (p ** -self._beta(env_steps)).tolist()
        pairs = zip(drawn.episodes, weights, strict=True)
        return Drawn([replace(e, weight=w) for e, w in pairs], drawn.indices)

    @override(EpisodeReplay)
    def update_priorities(self, indices: np.ndarray, priorities: np.ndarray) -> None:
        """See base class; episodes that have made room meanwhile are passed over.

        Raises:
            ValueError: If a priority is negative or not a number.
        """
        if not (np.isfinite(priorities).all() and (priorities >= 0).all()):
            raise ValueError(f"Priorities must be finite and not negative; got {priorities}.")
        held = indices >= self._oldest
        given = np.asarray(priorities, float)[held] + LEAST
        self._priorities[indices[held] % self.capacity] = given
        self._greatest = max(self._greatest, *given.tolist(), LEAST)

    @property
    def _slots(self) -> np.ndarray:
        return (self._oldest + np.arange(len(self))) % self.capacity

    @override(EpisodeReplay)
    def get_state(self) -> dict[str, Any]:
        """Adds the priorities."""
        priorities = self._priorities[self._slots]
        return super().get_state() | {"priorities": priorities, "greatest": self._greatest}

    @override(EpisodeReplay)
    def set_state(self, state: dict[str, Any]) -> None:
        """See base class; a state without priorities, of a uniform replay, leaves them equal."""
        super().set_state(state)
        self._greatest = state.get("greatest", 1.0)
        self._priorities[:] = self._greatest
        saved = state.get("priorities", np.ones(0))
        # A smaller replay than the saved one holds the newest of its episodes.
        if len(saved) >= len(self) > 0:
            self._priorities[self._slots] = saved[-len(self) :]


def check_priority_exponent(alpha: float) -> None:
    """Refuses what is not an exponent of priorities.

    Raises:
        ValueError: If it is not above 0.
    """
    if not isinstance(alpha, int | float) or not 0 < alpha < float("inf"):
        reason = " With 0 all episodes are drawn alike: that is replay: uniform." * (alpha == 0)
        raise ValueError(f"priority_exponent must be above 0; got {alpha!r}.{reason}")
