"""One step of a GRU for many sequences, and its gradient.

Gates and their notation are those of `rllib_qatten.agents.packed_gru`. The compiler makes vectors
of a loop if it sees that arrays do not overlap: hence many short loops over few arrays, and views
instead of indices like [size + j].
"""

from rllib_qatten.compiled.arithmetic import ONE, TWO, sigmoid
from rllib_qatten.compiled.compiler import inlined


@inlined
def gru_step(gates, hidden, before, after, bias, bias_m, m):
    """One step of k sequences, in place.

    Args:
        gates: [k, 3h], W_i x; becomes r, z, n.
        hidden: [k, 3h], W_h h.
        before: [k, h], h.
        after: [k, h], becomes h'.
        bias: [3h], of the input, plus the hidden one of r and z.
        bias_m: [h], the hidden one of m.
        m: [k, h], becomes m.
    """
    size = before.shape[1]
    bias_n = bias[2 * size :]
    for i in range(before.shape[0]):
        r_and_z, of_hidden = gates[i], hidden[i]
        for j in range(2 * size):
            r_and_z[j] = sigmoid(r_and_z[j] + of_hidden[j] + bias[j])
        r, z, n = gates[i, :size], gates[i, size : 2 * size], gates[i, 2 * size :]
        product, keep = hidden[i, 2 * size :], m[i]
        for j in range(size):
            keep[j] = product[j] + bias_m[j]
        for j in range(size):
            n[j] = TWO * sigmoid(TWO * (n[j] + bias_n[j] + r[j] * keep[j])) - ONE
        h, new = before[i], after[i]
        for j in range(size):
            new[j] = n[j] + z[j] * (h[j] - n[j])


@inlined
def gru_step_back(gates, m, before, grad, carried, n_carried, to_before, of_gates, of_n, copies):
    """The gradient of one step of k sequences.

    Args:
        gates: [k, 3h], r, z, n.
        m: [k, h].
        before: [k, h], h.
        grad: [k, h], of h' from this step's utilities.
        carried: [>= k, h], of h' through the next step's products, for its first `n_carried` rows.
        n_carried: Sequences that have a next step.
        to_before: [>= k, h], of h' through the next step's z; receives that of h through this one.
        of_gates: [k, 3h], receives the gradient of r, z, m before their activations.
        of_n: [k, h], receives that of n.
        copies: [k, h], receives h.
    """
    size = before.shape[1]
    for i in range(before.shape[0]):
        given, d = grad[i], to_before[i]
        if i < n_carried:
            more = carried[i]
            for j in range(size):
                d[j] = given[j] + more[j] + d[j]
        else:
            for j in range(size):
                d[j] = given[j]
        r, z, n = gates[i, :size], gates[i, size : 2 * size], gates[i, 2 * size :]
        of_r, of_z, of_m = (
            of_gates[i, :size],
            of_gates[i, size : 2 * size],
            of_gates[i, 2 * size :],
        )
        of_own, mm, h, copy = of_n[i], m[i], before[i], copies[i]
        for j in range(size):
            of_own[j] = d[j] * (ONE - z[j]) * (ONE - n[j] * n[j])
        for j in range(size):
            of_r[j] = of_own[j] * mm[j] * r[j] * (ONE - r[j])
        for j in range(size):
            of_m[j] = of_own[j] * r[j]
        for j in range(size):
            of_z[j] = d[j] * (ONE - z[j]) * z[j] * (h[j] - n[j])
        for j in range(size):
            copy[j] = h[j]
        for j in range(size):
            d[j] *= z[j]
