"""A battle on SMAX read from its states and actions alone.

No state says whom an enemy attacks; it follows from where units stand, as SMAX's script goes by
that alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rllib_qatten.agents.entities import Entities, Rows
from rllib_qatten.envs.battles.armies import UNITS
from rllib_qatten.envs.battles.battle import EDGE, SHOT, Battle

#: Numbers per unit in the state: health, x, y, weapon cooldown, six type bits.
UNIT_FEATURES = 4 + len(UNITS)
HEALTH, POSITION, COOLDOWN, TYPE = 0, slice(1, 3), 3, slice(4, UNIT_FEATURES)
#: The units' radii and how far they reach, as shares of the map's width.
RADII = np.array([0.375, 0.5625, 0.625, 0.5, 0.375, 0.625]) / 32
REACH = np.array([5.0, 6.0, 6.0, 2.0, 2.0, 5.0]) / 32
#: Shares of the map's width per second, seconds between two shots, health that a shot takes and
#: that a unit has.
SPEEDS = np.array([3.15, 2.25, 4.13, 3.15, 4.13, 3.15]) / 32
PAUSES = np.array([0.61, 1.07, 1.87, 0.86, 0.5, 0.59])
SHOTS = np.array([9.0, 10.0, 13.0, 8.0, 5.0, 12.0])
FULL_HEALTH = np.array([45.0, 125.0, 160.0, 150.0, 35.0, 80.0])
#: A step is eight of the game's ticks, of a sixteenth of a second each.
STEP_SECONDS = 8 / 16
#: How far others may push a unit in a step, as a share of the map's width.
PUSH = 0.5 / 32
#: Where the actions that move go, upwards is positive: north, east, south, west.
MOVES = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
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
        "position": (1, 3),
        "features": (
            *("health", "x", "y", "last move x", "last move y", "last attack", "cooldown"),
            *UNITS,
        ),
    }
    # The last attack is an action's number as a share of the largest. An enemy's script numbers
    # the allies from the last one on.
    of_allies, of_enemies = FIRST_ATTACK + enemies - 1, FIRST_ATTACK + allies - 1
    by_allies = FIRST_ATTACK / of_allies, 1 / of_allies
    by_enemies = 1.0, -1 / of_enemies
    teammates = Rows(start=0, count=allies - 1, aims=by_allies, **layout)
    others = Rows(start=teammates.stop, count=enemies, aims=by_enemies, **layout)
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
    targets = np.concatenate([attacks, script], axis=1)
    return Battle(
        health=health,
        positions=positions,
        shoots=shoots,
        targets=targets,
        types=tuple(UNITS[kind] for kind in kinds),
        radii=RADII[kinds],
        causes=_causes(units, targets, actions, kinds),
        edge_kills=True,
        step_seconds=STEP_SECONDS,
    )


def _causes(
    units: np.ndarray, targets: np.ndarray, actions: np.ndarray, kinds: np.ndarray
) -> tuple[str, ...]:
    """[V] what each unit died of, "" if it lives.

    No state says so. A unit that could touch the map's edge in its last step did, unless those who
    attacked it could take its health before; one that was pushed over it had too few attackers.

    Args:
        units: [T+1, V, `UNIT_FEATURES`] the states.
        targets: [T, V] as in `Battle`.
        actions: [T, N] the allies' actions.
        kinds: [V] the units' types.
    """
    alive = units[:, :, HEALTH] > 0
    found = [""] * len(kinds)
    for unit in np.flatnonzero(~alive.all(0)).tolist():
        t = int(alive[:, unit].argmin()) - 1
        at = units[t, unit, POSITION]
        gaps = np.array([1 - at[1], 1 - at[0], at[1], at[0]])  # to the edges, as in MOVES
        nearest = float(gaps.min())
        moves = targets[t, unit] < 0
        if unit < actions.shape[1]:
            moves = actions[t, unit] < len(MOVES)
            gaps = gaps[[actions[t, unit]]] if moves else gaps
        gap = max(0.0, float(gaps.min()) - PUSH)
        touched = gap / SPEEDS[kinds[unit]] if moves else np.inf
        waits = units[t, :, COOLDOWN] * PAUSES[kinds]
        attackers = (targets[t] == unit) & alive[t]
        taken = attackers * SHOTS[kinds] / FULL_HEALTH[kinds[unit]]
        left = units[t, unit, HEALTH] - 1e-6
        shot = taken[waits <= touched].sum() >= left
        pushed = nearest <= PUSH and taken.sum() < left
        found[unit] = EDGE if pushed or (touched <= STEP_SECONDS and not shot) else SHOT
    return tuple(found)


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
