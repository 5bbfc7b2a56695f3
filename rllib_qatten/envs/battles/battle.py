"""A recorded battle as drawings need it, read from its states and actions alone.

No state says whom an enemy attacks; it follows from where units stand, as SMAX's script goes by
that alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rllib_qatten.envs.battles.smax import UNIT_FEATURES
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.rollout.episode import TeamEpisode

#: Columns of a unit's features in SMAX's state.
HEALTH, POSITION, COOLDOWN, TYPE = 0, slice(1, 3), 3, slice(4, UNIT_FEATURES)
#: SMAX's unit types, their radii and how far they reach, as shares of the map's width.
TYPES = ("marine", "marauder", "stalker", "zealot", "zergling", "hydralisk")
RADII = np.array([0.375, 0.5625, 0.625, 0.5, 0.375, 0.625]) / 32
REACH = np.array([5.0, 6.0, 6.0, 2.0, 2.0, 5.0]) / 32
#: The first action that attacks; the next ones attack the next enemies.
FIRST_ATTACK = 5


def drawable(spec: TeamSpec) -> bool:
    """Whether the state of a team's games says where units stand, as SMAX's does."""
    return spec.engine.startswith("smax ")


@dataclass(frozen=True)
class Battle:
    """Where V units stood in a battle of T steps, allies first; entries 0..T are what was seen.

    Attributes:
        health: [T+1, V] shares of full health.
        positions: [T+1, V, 2] shares of the map's width and height, upwards.
        shoots: [T+1, V] bool, whether a unit fires in the step that follows; not known of units
            that die in it.
        targets: [T, V] the unit that a unit attacks, or -1.
        types: [V] names of the units' types.
        radii: [V] shares of the map's width.
    """

    health: np.ndarray
    positions: np.ndarray
    shoots: np.ndarray
    targets: np.ndarray
    types: tuple[str, ...]
    radii: np.ndarray

    @classmethod
    def of(cls, episode: TeamEpisode, spec: TeamSpec) -> Battle:
        """Reads an episode of a `drawable` team."""
        units = episode.state.reshape(len(episode.state), -1, UNIT_FEATURES)
        kinds = units[0, :, TYPE].argmax(-1)
        cooldown = units[:, :, COOLDOWN]
        shoots = np.zeros(cooldown.shape, bool)
        shoots[:-1] = cooldown[1:] > cooldown[:-1]
        health, positions, n = units[:, :, HEALTH], units[:, :, POSITION], spec.n_agents
        actions = episode.actions.astype(np.int64)
        attacks = np.where(actions < FIRST_ATTACK, -1, actions - FIRST_ATTACK + n)
        script = _script(positions[:-1], health[:-1] > 0, REACH[kinds], n)
        return cls(
            health=health,
            positions=positions,
            shoots=shoots,
            targets=np.concatenate([attacks, script], axis=1),
            types=tuple(TYPES[kind] for kind in kinds),
            radii=RADII[kinds],
        )

    @property
    def alive(self) -> np.ndarray:
        """[T+1, V] bool."""
        return self.health > 0


def _script(positions: np.ndarray, alive: np.ndarray, reach: np.ndarray, n: int) -> np.ndarray:
    """[T, V-N] the ally that each scripted enemy attacks, or -1.

    SMAX's own rule: the one it attacked last as long as that is in reach, else the nearest.

    Args:
        positions: [T, V, 2] as in `Battle`.
        alive: [T, V] bool.
        reach: [V] shares of the map's width.
        n: N, the allies.
    """
    apart = np.linalg.norm(positions[:, n:, None] - positions[:, None, :n], axis=-1)
    possible = (apart < reach[n:, None]) & alive[:, n:, None] & alive[:, None, :n]
    nearest = np.where(possible, apart, np.inf).argmin(-1)
    targets, last = np.empty_like(nearest), np.full(nearest.shape[1], -1)
    for t, now in enumerate(possible):
        keeps = (last >= 0) & now[np.arange(len(last)), last]
        last = np.where(now.any(-1), np.where(keeps, last, nearest[t]), -1)
        targets[t] = last
    return targets
