"""Relations between units: how far each is, and how many aim at whom."""

import numpy as np

from rllib_qatten.compiled.arithmetic import F2, F3, I1, ONE, ZERO, is_seen
from rllib_qatten.compiled.compiler import inlined, jit

F = "float32"
#: What is said of rows: where they start, R, F, where positions in a row start and stop (the same
#: if there are none), and which number in a row names whom a unit aims at, -1 if none does.
START, COUNT, SIZE, NEAR, FAR, NAMED = range(6)


@inlined
def _aims(row, part, first, step, others, aims):
    """Which of the others each unit aims at, in `aims` [R]: -1 if none, -2 if it is not seen."""
    for r in range(part[COUNT]):
        start = part[START] + r * part[SIZE]
        aims[r] = -1 if is_seen(row[start : start + part[SIZE]]) else -2
        if part[NAMED] >= 0 and aims[r] == -1:
            told = np.round((row[start + part[NAMED]] - first) / step)
            if ZERO <= told < others:
                aims[r] = np.int64(told)


@inlined
def _distance(row, part, r):
    """How far the unit is."""
    squares, start = ZERO, part[START] + r * part[SIZE]
    for j in range(start + part[NEAR], start + part[FAR]):
        squares += row[j] * row[j]
    return np.sqrt(squares)


@jit(f"void({F2}, {I1}, {I1}, {I1}, {F}, {F}, {F}, {F}, {F}, {F3}, {F3}, {F2})")
def relate(
    observations, places, mates, enemies, first_enemy, enemy_step, first_agent, agent_step, count,
    of_mates, of_enemies, of_self,
):  # fmt: skip
    """Writes what `rllib_qatten.agents.relations.Relations` adds; nothing for units unseen.

    Args:
        observations: [M, >= O] of M agents, team by team.
        places: [N'] the agents' indices in the team.
        mates: [6] of the rows of teammates, see above.
        enemies: [6] likewise.
        first_enemy: A teammate that aims at enemy j has the number `first_enemy` +
        enemy_step: j `enemy_step`.
        first_agent: An enemy that aims at agent k has the number `first_agent` +
        agent_step: k `agent_step`.
        count: What a unit that aims at another counts.
        of_mates: [M, R, X] receives what is added to rows of teammates.
        of_enemies: [M, E, Y] likewise.
        of_self: [M, 1] receives how many aim at the agent itself; [M, 0] if that is not known.
    """
    by_mates, by_enemies = np.empty(mates[COUNT], np.int64), np.empty(enemies[COUNT], np.int64)
    on_enemies = np.empty(enemies[COUNT], np.float32)
    on_agents = np.empty(mates[COUNT] + 1, np.float32)
    for i in range(observations.shape[0]):
        row, place = observations[i], places[i % places.shape[0]]
        _aims(row, mates, first_enemy, enemy_step, enemies[COUNT], by_mates)
        _aims(row, enemies, first_agent, agent_step, mates[COUNT] + 1, by_enemies)
        on_agents[:], on_enemies[:] = ZERO, ZERO
        for enemy in by_mates:
            if enemy >= 0:
                on_enemies[enemy] += count
        for agent in by_enemies:
            if agent >= 0:
                on_agents[agent] += count
        for r in range(mates[COUNT]):
            if by_mates[r] > -2:
                out, x = of_mates[i, r], 0
                if mates[NEAR] < mates[FAR]:
                    out[0], x = _distance(row, mates, r), 1
                if enemies[NAMED] >= 0:
                    out[x] = on_agents[r if r < place else r + 1]
        for r in range(enemies[COUNT]):
            if by_enemies[r] > -2:
                out, x = of_enemies[i, r], 0
                if enemies[NEAR] < enemies[FAR]:
                    out[0], x = _distance(row, enemies, r), 1
                if mates[NAMED] >= 0:
                    out[x] = on_enemies[r]
                    x += 1
                if enemies[NAMED] >= 0:
                    out[x] = ONE if by_enemies[r] == place else ZERO
        if enemies[NAMED] >= 0:
            of_self[i, 0] = on_agents[place]
