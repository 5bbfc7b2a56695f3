"""Rows of units: one small network over those of seen units, their sums and products, gradients.

Of a row x it makes u = relu(W x); the 1 at a row's end is what W's last column, the bias, is
multiplied by. Rows go by blocks whose u stays in the processor's cache, and is computed again where
it is needed again: reading it back from memory would take longer. For the gradient of sums it is
enough where u is positive.

`total[j] += max(row[j], 0)` becomes vectors; the same with an `if` does not, and takes three times
as long.

Letters: M agents in all entries, K seen rows of all agents, F numbers in a row with its 1, h width
of u, A actions.
"""

import numpy as np

from rllib_qatten.compiled.arithmetic import B1, B2, F2, I1, I2, ZERO, add, transposed
from rllib_qatten.compiled.compiler import jit

#: Rows of a block.
BLOCK = 512
_ROWS = ", ".join([F2, I1, F2])


@jit(f"void({_ROWS}, int64, {F2}, {B2})")
def sums(rows, owners, weight, column, out, positive):
    """Writes the sum of each agent's u to `out` [M, C], from `column` on.

    Args:
        rows: [K, F].
        owners: [K].
        weight: W [h, F].
        column: The first of h columns.
        out: [M, C].
        positive: [K, h] receives where u is positive, for the gradient; empty if none is wanted.
    """
    size, kept, to_u = weight.shape[0], positive.shape[0] > 0, transposed(weight)
    u = np.empty((min(BLOCK, rows.shape[0]), size), np.float32)
    for i in range(out.shape[0]):
        out[i, column : column + size] = ZERO
    for begin in range(0, rows.shape[0], BLOCK):
        n = min(BLOCK, rows.shape[0] - begin)
        np.dot(rows[begin : begin + n], to_u, u[:n])
        for i in range(n):
            total, row = out[owners[begin + i], column : column + size], u[i]
            for j in range(size):
                total[j] += max(row[j], ZERO)
            if kept:
                more = positive[begin + i]
                for j in range(size):
                    more[j] = row[j] > ZERO


@jit(f"void({F2}, int64, {F2}, {I1}, {B2}, {F2})")
def sums_back(grad, column, rows, owners, positive, grad_weight):
    """Adds the gradient of W [h, F], given that of the sums in `grad` [M, C]; see `sums`."""
    size, most = grad_weight.shape[0], min(BLOCK, rows.shape[0])
    of_u, part = np.empty((most, size), np.float32), np.empty(grad_weight.shape, np.float32)
    for begin in range(0, rows.shape[0], BLOCK):
        n = min(BLOCK, rows.shape[0] - begin)
        for i in range(n):
            row, passes = of_u[i], positive[begin + i]
            given = grad[owners[begin + i], column : column + size]
            for j in range(size):
                row[j] = given[j] * np.float32(passes[j])
        np.dot(of_u[:n].T, rows[begin : begin + n], part)
        add(grad_weight, part)


@jit(f"void({F2}, int64, {I2}, {B1}, {F2})")
def lay_out(heads, at, columns, helping, utilities):
    """What actions are worth whomever they concern.

    Args:
        heads: [M, C].
        at: The column of `heads` where such values begin.
        columns: [2, A] where, from there on, each action's is; of agents that attack and help.
        helping: [M] which of both they are.
        utilities: [M, A] receives the result.
    """
    for i in range(utilities.shape[0]):
        order, row, out = columns[1 if helping[i] else 0], heads[i, at:], utilities[i]
        for a in range(out.shape[0]):
            out[a] = row[order[a]]


@jit(f"void({F2}, int64, {I2}, {B1}, {F2})")
def lay_out_back(grad, at, columns, helping, grad_heads):
    """Adds the gradients of heads, given those of utilities [M, A]; see `lay_out`."""
    for i in range(grad.shape[0]):
        order, row, out = columns[1 if helping[i] else 0], grad[i], grad_heads[i, at:]
        for a in range(row.shape[0]):
            out[order[a]] += row[a]


@jit(f"void({_ROWS}, {I1}, {F2}, int64, {F2})")
def values(rows, owners, weight, actions, heads, query, utilities):
    """Adds to utilities [M, A] the product of each unit's u and its agent's query.

    Args:
        rows: [K, F].
        owners: [K].
        weight: W [h, F].
        actions: [K] the action that concerns the unit, -1 if none does.
        heads: [M, C].
        query: The first of the h columns of `heads` that are queries.
        utilities: [M, A].
    """
    size, to_u = weight.shape[0], transposed(weight)
    u = np.empty((min(BLOCK, rows.shape[0]), size), np.float32)
    for begin in range(0, rows.shape[0], BLOCK):
        n = min(BLOCK, rows.shape[0] - begin)
        np.dot(rows[begin : begin + n], to_u, u[:n])
        for i in range(n):
            action, owner = actions[begin + i], owners[begin + i]
            if action < 0:
                continue
            q, row, product = heads[owner, query : query + size], u[i], ZERO
            for j in range(size):
                product += q[j] * (ZERO if row[j] < ZERO else row[j])
            utilities[owner, action] += product


@jit(f"void({F2}, {_ROWS}, {I1}, {F2}, int64, {F2}, {F2})")
def values_back(grad, rows, owners, weight, actions, heads, query, grad_heads, grad_weight):
    """Adds the gradients of heads [M, C] and W, given that of utilities [M, A]; see `values`.

    A loss takes at most one action of each agent, so most gradients are zero.
    """
    size, f = weight.shape
    most = min(BLOCK, rows.shape[0])
    u, x = np.empty((most, size), np.float32), np.empty((most, f), np.float32)
    given, wanted = np.empty(most, np.float32), np.empty(most, np.int64)
    part, to_u = np.empty(weight.shape, np.float32), transposed(weight)
    n = 0
    for k in range(rows.shape[0]):
        d = grad[owners[k], actions[k]] if actions[k] >= 0 else ZERO
        if d != ZERO:
            given[n], wanted[n] = d, owners[k]
            source, copy = rows[k], x[n]
            for j in range(f):
                copy[j] = source[j]
            n += 1
        if not n or (n < most and k + 1 < rows.shape[0]):
            continue
        mine = u[:n]
        np.dot(x[:n], to_u, mine)
        for i in range(n):
            row, d = mine[i], given[i]
            q = heads[wanted[i], query : query + size]
            of_q = grad_heads[wanted[i], query : query + size]
            for j in range(size):
                of_q[j] += d * (ZERO if row[j] < ZERO else row[j])
            for j in range(size):
                row[j] = d * q[j] if row[j] > ZERO else ZERO
        np.dot(mine.T, x[:n], part)
        add(grad_weight, part)
        n = 0
