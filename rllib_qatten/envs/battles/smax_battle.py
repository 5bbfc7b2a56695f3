"""A battle on SMAX read from its states and actions alone.

No state says whom an enemy attacks; it follows from where units stand, as SMAX's script goes by
that alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rllib_qatten.agents.entities import Entities, Rows
from rllib_qatten.envs.battles.armies import UNITS
from rllib_qatten.envs.battles.battle import Battle

#: Numbers per unit in the state: health, x, y, weapon cooldown, six type bits.
UNIT_FEATURES = 4 + len(UNITS)
HEALTH, POSITION, COOLDOWN, TYPE = 0, slice(1, 3), 3, slice(4, UNIT_FEATURES)
#: The units' radii and how far they reach, as shares of the map's width.
RADII = np.array([0.375, 0.5625, 0.625, 0.5, 0.375, 0.625]) / 32
REACH = np.array([5.0, 6.0, 6.0, 2.0, 2.0, 5.0]) / 32
#: Numbers per unit in an observation: health, relative position, last movement, last attack,
#: cooldown, six type bits. The last attack is the number of a target.
OBSERVED, LAST_ATTACK = 7 + len(UNITS), 5
#: The first action that attacks; the next ones attack the next enemies.
FIRST_ATTACK = 5


def unit_rows(allies: int, enemies: int) -> Entities:
    """How an observation is made: rows of teammates, rows of enemies, the agent itself."""
    layout: dict[str, Any] = {
        "size": OBSERVED,
        "skip": (LAST_ATTACK, LAST_ATTACK + 1),
        "features": (
            *("health", "x", "y", "last move x", "last move y", "last attack", "cooldown"),
            *UNITS,
        ),
    }
    teammates = Rows(start=0, count=allies - 1, **layout)
    others = Rows(start=teammates.stop, count=enemies, **layout)
    return Entities(
        own=((others.stop, others.stop + UNIT_FEATURES),),
        own_features=("health", "map x", "map y", "cooldown", *UNITS),
        teammates=teammates,
        enemies=others,
        attacks=FIRST_ATTACK,
    )


def read_battle(state: np.ndarray, actions: np.ndarray) -> Battle:
    """The battle of one game.

    Args:
        state: [T+1, S] as `SMAXTeams` gives it.
        actions: [T, N] the joint actions.
    """
    n = actions.shape[1]
    units = state.reshape(len(state), -1, UNIT_FEATURES)
    kinds = units[0, :, TYPE].argmax(-1)
    cooldown = units[:, :, COOLDOWN]
    shoots = np.zeros(cooldown.shape, bool)
    shoots[:-1] = cooldown[1:] > cooldown[:-1]
    health, positions = units[:, :, HEALTH], units[:, :, POSITION]
    actions = actions.astype(np.int64)
    attacks = np.where(actions < FIRST_ATTACK, -1, actions - FIRST_ATTACK + n)
    script = _script(positions[:-1], health[:-1] > 0, REACH[kinds], n)
    return Battle(
        health=health,
        positions=positions,
        shoots=shoots,
        targets=np.concatenate([attacks, script], axis=1),
        types=tuple(UNITS[kind] for kind in kinds),
        radii=RADII[kinds],
    )


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
