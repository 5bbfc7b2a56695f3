"""Reads observations made of units: rows of seen units, how far each is, how many aim at it.

Most rows are zeros, of units dead or out of sight, and are never copied. The others get a 1 at
their end, which a weight's last column, the bias, is multiplied by.

Letters: M agents in all entries, N' agents that share the network, R rows of a kind of units; K
seen rows of all agents, F numbers in a row with its 1.
"""

import numpy as np

from rllib_qatten.compiled.arithmetic import B1, F2, I1, I3, ONE, ZERO, is_seen
from rllib_qatten.compiled.compiler import inlined, jit

F = "float32"
#: What is said of a kind's rows: where they start, R, how many numbers each has; which of these are
#: not used, from SKIP to RESUME; where positions in a row start and stop (the same if there are
#: none); which number names whom a unit aims at (-1 if none does); whether a row is told that the
#: agent's last action concerned its unit.
START, COUNT, SIZE, SKIP, RESUME, NEAR, FAR, NAMED, TOLD = range(9)
_AGENTS, _KIND = ", ".join([I1, I1, B1, I1]), ", ".join([I1, I3, F2, I1, I1])


@inlined
def _aims(row, kind, first, step, others, aims):
    """Which of the others each unit aims at, in `aims` [R]: -1 if none, -2 if it is not seen."""
    for r in range(kind[COUNT]):
        start = kind[START] + r * kind[SIZE]
        aims[r] = -1 if is_seen(row, start, start + kind[SIZE]) else -2
        if kind[NAMED] >= 0 and aims[r] == -1:
            told = np.round((row[start + kind[NAMED]] - first) / step)
            if ZERO <= told < others:
                aims[r] = np.int64(told)


@inlined
def _written(row, kind, r, out):
    """Writes the numbers used of row r, and how far its unit is; returns how many they are."""
    start, n = kind[START] + r * kind[SIZE], 0
    for j in range(start, start + kind[SKIP]):
        out[n] = row[j]
        n += 1
    for j in range(start + kind[RESUME], start + kind[SIZE]):
        out[n] = row[j]
        n += 1
    if kind[NEAR] == kind[FAR]:
        return n
    squares = ZERO
    for j in range(start + kind[NEAR], start + kind[FAR]):
        squares += row[j] * row[j]
    out[n] = np.sqrt(squares)
    return n + 1


@inlined
def _ended(out, x, kind, action, last):
    """Writes a row's last numbers: whether the last action concerned its unit, if told, and 1."""
    if kind[TOLD]:
        out[x] = ONE if action >= 0 and action == last else ZERO
        x += 1
    out[x] = ONE


@jit(f"UniTuple(int64, 2)({F2}, {_AGENTS}, {F}, {F}, {F}, {F}, {F}, {_KIND}, {_KIND}, {F2})")
def read(
    observations, agents, last, helping, places,
    first_enemy, enemy_step, first_agent, agent_step, count,
    mates, to_mates, mate_rows, mate_owners, mate_actions,
    enemies, to_enemies, enemy_rows, enemy_owners, enemy_actions, aimed,
):  # fmt: skip
    """Copies the rows of seen units and returns K of teammates and of enemies.

    A row holds the numbers used; how far its unit is, if positions are known; how many of the other
    side aim at it, if that is; an enemy's also whether it aims at the agent; whether the agent's
    last action concerned it, if that is told; and 1.

    Args:
        observations: [>= M, >= O], team by team.
        agents: [M] which of them are read.
        last: [M] last actions, -1 where there is none.
        helping: [M] whether an agent helps instead of attacking.
        places: [N'] the agents' indices in the team.
        first_enemy: A teammate that aims at enemy j has the number `first_enemy` +
        enemy_step: j `enemy_step`.
        first_agent: An enemy that aims at agent k has the number `first_agent` +
        agent_step: k `agent_step`.
        count: What a unit that aims at another counts.
        mates: [9] about rows of teammates, see above.
        to_mates: [2, N, R] the action that concerns each row's unit, -1 if none does; of agents
            that attack, and of those that help. N is N' or 1.
        mate_rows: [>= K, F] receives the rows.
        mate_owners: [>= K] receives whose they are.
        mate_actions: [>= K] receives the actions that concern them.
        enemies: Likewise of enemies, like the following.
        to_enemies: [2, N, R].
        enemy_rows: [>= K, F].
        enemy_owners: [>= K].
        enemy_actions: [>= K].
        aimed: [M, 1] receives how many aim at the agent itself; [M, 0] if that is not known.
    """
    by_mates, by_enemies = np.empty(mates[COUNT], np.int64), np.empty(enemies[COUNT], np.int64)
    on_enemies = np.empty(enemies[COUNT], np.float32)
    on_agents = np.empty(mates[COUNT] + 1, np.float32)
    mates_aim, enemies_aim = mates[NAMED] >= 0, enemies[NAMED] >= 0
    k, e = 0, 0
    for i in range(agents.shape[0]):
        agent, action = agents[i], last[i]
        row, place = observations[agent], places[agent % places.shape[0]]
        on_agents[:], on_enemies[:] = ZERO, ZERO
        if is_seen(row, 0, row.shape[0]):  # else the agent is dead
            helps = 1 if helping[i] else 0
            _aims(row, mates, first_enemy, enemy_step, enemies[COUNT], by_mates)
            _aims(row, enemies, first_agent, agent_step, mates[COUNT] + 1, by_enemies)
            for enemy in by_mates:
                if enemy >= 0:
                    on_enemies[enemy] += count
            for other in by_enemies:
                if other >= 0:
                    on_agents[other] += count
            concerning = to_mates[helps, agent % to_mates.shape[1]]
            for r in range(mates[COUNT]):
                if by_mates[r] > -2:
                    out = mate_rows[k]
                    x = _written(row, mates, r, out)
                    if enemies_aim:
                        out[x] = on_agents[r if r < place else r + 1]
                        x += 1
                    _ended(out, x, mates, concerning[r], action)
                    mate_owners[k], mate_actions[k] = i, concerning[r]
                    k += 1
            concerning = to_enemies[helps, agent % to_enemies.shape[1]]
            for r in range(enemies[COUNT]):
                if by_enemies[r] > -2:
                    out = enemy_rows[e]
                    x = _written(row, enemies, r, out)
                    if mates_aim:
                        out[x] = on_enemies[r]
                        x += 1
                    if enemies_aim:
                        out[x] = ONE if by_enemies[r] == place else ZERO
                        x += 1
                    _ended(out, x, enemies, concerning[r], action)
                    enemy_owners[e], enemy_actions[e] = i, concerning[r]
                    e += 1
        if enemies_aim:
            aimed[i, 0] = on_agents[place]
    return k, e
