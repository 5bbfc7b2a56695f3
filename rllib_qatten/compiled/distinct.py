"""Which rows of an agent network's inputs are computed once and serve others, too.

A dead agent observes nothing: its rows, a quarter to a half of all in a battle, differ by last
action and id alone.

Letters as in `recurrent`. The D different rows are first the L with an observation ("seen"), in
their order, then those without one ("unseen").
"""

from rllib_qatten.compiled.arithmetic import B1, F2, I1, copy, is_seen
from rllib_qatten.compiled.compiler import inlined, jit


@jit(f"UniTuple(int64, 2)({F2}, {I1}, {B1}, {I1}, int64, int64, {I1}, {I1})")
def distinct(observations, rows, more, last, n_actions, n_agents, sources, places):
    """Finds the D different rows.

    Args:
        observations: [>= M, O].
        rows: [M] which of them are looked at.
        more: [M] whether something is observed besides; empty if nothing ever is.
        last: [>= M] last actions, -1 where there is none.
        n_actions: A, or 0 if inputs are without last actions.
        n_agents: N, or 0 if inputs are without ids.
        sources: [M] receives, for each of the D rows, which of all rows it was first.
        places: [M] receives which of the D rows each row is.

    Returns:
        L and D.
    """
    found = 0
    for i in range(rows.shape[0]):
        places[i] = -1
        if (more.shape[0] and more[i]) or is_seen(observations[rows[i]], 0, observations.shape[1]):
            places[i] = found
            sources[found] = rows[i]
            found += 1
    seen, n = found, max(n_agents, 1)
    # [1 + A, N] which row that is, -1 where it was not met.
    met = [-1] * ((1 + n_actions) * n)
    for i in range(rows.shape[0]):
        if places[i] < 0:
            key = (last[rows[i]] + 1 if n_actions else 0) * n + (rows[i] % n)
            if met[key] < 0:
                met[key] = found
                sources[found] = rows[i]
                found += 1
            places[i] = met[key]
    return seen, found


@inlined
def count_seen(places, n_seen):
    """How many rows have an observation, by their places [n]; `n_seen` is L."""
    n = 0
    for place in places:
        n += place < n_seen
    return n


@inlined
def spread(gates, unseen, places, n_seen, n_here):
    """Puts each row's gates where they belong.

    Args:
        gates: [n, 3h] ends with those of seen rows, in their order; receives those of all.
        unseen: [D - L, 3h] those of unseen rows.
        places: [n].
        n_seen: L.
        n_here: How many of the n rows are seen.
    """
    source = gates.shape[0] - n_here
    for i in range(gates.shape[0]):
        if places[i] >= n_seen:
            copy(unseen[places[i] - n_seen], gates[i])
        else:
            if source > i:
                copy(gates[source], gates[i])
            source += 1


@inlined
def gather(of_gates, of_n, of_unseen, places, n_seen):
    """Gradients of the different rows' input products, given those of all rows' hidden products.

    The two differ for n: a hidden product is multiplied by r first.

    Args:
        of_gates: [n, 3h], gradients of r, z, m; begins afterwards with those of r, z, n of seen
            rows, in their order.
        of_n: [n, h], those of n.
        of_unseen: [D - L, 3h], which those of r, z, n of unseen rows are added to.
        places: [n].
        n_seen: L.

    Returns:
        How many rows are seen.
    """
    size, found = of_n.shape[1], 0
    for i in range(places.shape[0]):
        of_r_and_z, own_n = of_gates[i, : 2 * size], of_n[i]
        if places[i] >= n_seen:
            total = of_unseen[places[i] - n_seen]
            total_n = total[2 * size :]
            for j in range(2 * size):
                total[j] += of_r_and_z[j]
            for j in range(size):
                total_n[j] += own_n[j]
            continue
        if found < i:
            copy(of_r_and_z, of_gates[found])
        copy(own_n, of_gates[found, 2 * size :])
        found += 1
    return found
