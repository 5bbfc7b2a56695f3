"""A recorded battle as drawings need it, read from its states and actions alone.

The state holds no enemy's target, so that of enemies it is only known when they shoot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rllib_qatten.envs.smax import UNIT_FEATURES
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.rollout.episode import TeamEpisode

#: Columns of a unit's features in SMAX's state.
HEALTH, POSITION, COOLDOWN, TYPE = 0, slice(1, 3), 3, slice(4, UNIT_FEATURES)
#: SMAX's unit types and their radii, as shares of the map's width.
TYPES = ("marine", "marauder", "stalker", "zealot", "zergling", "hydralisk")
RADII = np.array([0.375, 0.5625, 0.625, 0.5, 0.375, 0.625]) / 32
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
        shoots: [T+1, V] bool, whether a unit fires in the step that follows.
        targets: [T, N] the unit an ally attacks, or -1.
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
        actions = episode.actions.astype(np.int64)
        targets = np.where(actions < FIRST_ATTACK, -1, actions - FIRST_ATTACK + spec.n_agents)
        return cls(
            health=units[:, :, HEALTH],
            positions=units[:, :, POSITION],
            shoots=shoots,
            targets=targets,
            types=tuple(TYPES[kind] for kind in kinds),
            radii=RADII[kinds],
        )

    @property
    def alive(self) -> np.ndarray:
        """[T+1, V] bool."""
        return self.health > 0
