"""A battle as drawings need it: where every unit stood, how it was, whom it attacked.

An engine makes one from what its games left behind, see `TeamVector.battle`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Battle:
    """Where V units stood in a battle of T steps, allies first; entries 0..T are what was seen.

    Attributes:
        health: [T+1, V] shares of full health.
        positions: [T+1, V, 2] shares of the map's width and height, upwards.
        shoots: [T+1, V] bool, whether a unit fires in the step that follows; False where that is
            not known, as of units that die in it.
        targets: [T, V] the unit that a unit attacks; -1 for none, or where that is not known.
        types: [V] names of the units' types.
        radii: [V] shares of the map's width.
    """

    health: np.ndarray
    positions: np.ndarray
    shoots: np.ndarray
    targets: np.ndarray
    types: tuple[str, ...]
    radii: np.ndarray

    @property
    def alive(self) -> np.ndarray:
        """[T+1, V] bool."""
        return self.health > 0
