"""A battle as drawings need it: where every unit stood, how it was, whom it attacked.

An engine makes one from what its games left behind, see `TeamVector.battle`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: What units die of.
SHOT, EDGE = "shot", "edge"


@dataclass(frozen=True)
class Battle:
    """Where V units stood in a battle of T steps, allies first; entries 0..T are what was seen.

    Attributes:
        health: [T+1, V] shares of full health.
        positions: [T+1, V, 2] shares of the map's width and height, upwards; those of the dead
            are not looked at.
        shoots: [T+1, V] bool, whether a unit fires in the step that follows; False where that is
            not known, as of units that die in it.
        targets: [T, V] the unit that a unit attacks; -1 for none, or where that is not known.
        types: [V] names of the units' types.
        radii: [V] shares of the map's width.
        causes: [V] what a unit died of, `SHOT` or `EDGE`; "" of the living. Empty if not known.
        edge_kills: Whether the map's edge kills the units that touch it.
        step_seconds: Seconds of the game's own time in a step.
    """

    health: np.ndarray
    positions: np.ndarray
    shoots: np.ndarray
    targets: np.ndarray
    types: tuple[str, ...]
    radii: np.ndarray
    causes: tuple[str, ...] = ()
    edge_kills: bool = False
    step_seconds: float = 0.5

    @property
    def alive(self) -> np.ndarray:
        """[T+1, V] bool."""
        return self.health > 0

    @property
    def deaths(self) -> list[tuple[int, int, float, float, str]]:
        """Each death: the unit, the first entry without it, where it fell, the cause or ""."""
        alive, found = self.alive, []
        for unit in np.flatnonzero(~alive.all(0)).tolist():
            entry = int(alive[:, unit].argmin())
            x, y = self.positions[max(0, entry - 1), unit].tolist()
            cause = self.causes[unit] if self.causes else ""
            if cause == EDGE:  # on the nearest edge
                _, x, y = min((x, 0.0, y), (1 - x, 1.0, y), (y, x, 0.0), (1 - y, x, 1.0))
            found.append((unit, entry, x, y, cause))
        return found
