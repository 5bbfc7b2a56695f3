"""QMIX's mixer, forward and backward: one call each.

Letters: M rows, N agents, S state length, E embedding. Networks are passed as in `hypernets`:
that of W_1 (with N E outputs, agent-major), of b_1, of w_2 (both E), and of V (1). Rows go by
blocks that fit the processor's cache.
"""

import numpy as np

from rllib_qatten.compiled.arithmetic import F1, F2, ONE, ZERO, exp
from rllib_qatten.compiled.compiler import jit
from rllib_qatten.compiled.hypernets import run, run_back

BLOCK = 512
_NET = ", ".join([F2, F1, F2, F1])
_NETS = ", ".join([_NET] * 4)
_KEPT = ", ".join([F2] * 8)


@jit(f"void({F2}, {F2}, {_NETS}, {_KEPT}, {F1}, {F1})")
def forward(
    utilities, state,
    first_1, first_bias_1, last_1, last_bias_1,
    first_b, first_bias_b, last_b, last_bias_b,
    first_2, first_bias_2, last_2, last_bias_2,
    first_v, first_bias_v, last_v, last_bias_v,
    hidden_1, hidden_b, hidden_2, hidden_v, w_1, w_2, mixed, value_2d,
    value, q_tot,
):  # fmt: skip
    """Q_tot [M] and V [M] of utilities [M, N] and state [M, S], and what `backward` needs.

    That is: the networks' `hidden_*` [M, W] (without rows where there is one layer), the weights
    `w_1` [M, N E] and `w_2` [M, E] before their absolute values, `mixed` [M, E] after the ELU.
    `value_2d` [M, 1] is room for V.
    """
    n_agents, size = utilities.shape[1], w_2.shape[1]
    for begin in range(0, utilities.shape[0], BLOCK):
        end = min(begin + BLOCK, utilities.shape[0])
        s = state[begin:end]
        run(s, first_1, first_bias_1, last_1, last_bias_1, hidden_1[begin:end], w_1[begin:end])
        run(s, first_b, first_bias_b, last_b, last_bias_b, hidden_b[begin:end], mixed[begin:end])
        run(s, first_2, first_bias_2, last_2, last_bias_2, hidden_2[begin:end], w_2[begin:end])
        run(s, first_v, first_bias_v, last_v, last_bias_v, hidden_v[begin:end], value_2d[begin:end])
        for i in range(begin, end):
            h, w, u = mixed[i], w_1[i], utilities[i]
            for n in range(n_agents):
                of_agent = w[n * size : (n + 1) * size]
                for e in range(size):
                    h[e] += u[n] * abs(of_agent[e])
            total, outer = ZERO, w_2[i]
            for e in range(size):
                low = exp(ZERO if h[e] > ZERO else h[e]) - ONE
                h[e] = h[e] if h[e] > ZERO else low
                total += h[e] * abs(outer[e])
            value[i] = value_2d[i, 0]
            q_tot[i] = total + value[i]


@jit(f"void({F1}, {F2}, {F2}, {_NETS}, {_KEPT}, {F2}, {_NETS})")
def backward(
    grad, utilities, state,
    first_1, first_bias_1, last_1, last_bias_1,
    first_b, first_bias_b, last_b, last_bias_b,
    first_2, first_bias_2, last_2, last_bias_2,
    first_v, first_bias_v, last_v, last_bias_v,
    hidden_1, hidden_b, hidden_2, hidden_v, w_1, w_2, mixed, value_2d,
    grad_utilities,
    to_first_1, to_first_bias_1, to_last_1, to_last_bias_1,
    to_first_b, to_first_bias_b, to_last_b, to_last_bias_b,
    to_first_2, to_first_bias_2, to_last_2, to_last_bias_2,
    to_first_v, to_first_bias_v, to_last_v, to_last_bias_v,
):  # fmt: skip
    """Gradients of utilities [M, N] and, added to zeros, of all parameters.

    `grad` [M] is that of Q_tot. The other arguments are those of `forward`.
    """
    n_agents, size = utilities.shape[1], w_2.shape[1]
    of_w_1, of_b = (
        np.empty((BLOCK, n_agents * size), np.float32),
        np.empty((BLOCK, size), np.float32),
    )
    of_w_2, of_v = np.empty((BLOCK, size), np.float32), np.empty((BLOCK, 1), np.float32)
    for begin in range(0, utilities.shape[0], BLOCK):
        end = min(begin + BLOCK, utilities.shape[0])
        k = end - begin
        for i in range(begin, end):
            g, h, outer, inner, u = grad[i], mixed[i], w_2[i], w_1[i], utilities[i]
            of_outer, of_inner, back = of_w_2[i - begin], of_w_1[i - begin], of_b[i - begin]
            for e in range(size):
                sign = ONE if outer[e] > ZERO else (-ONE if outer[e] < ZERO else ZERO)
                of_outer[e] = g * h[e] * sign
                slope = ONE if h[e] > ZERO else h[e] + ONE
                back[e] = g * abs(outer[e]) * slope
            for n in range(n_agents):
                total = ZERO
                w, out = inner[n * size : (n + 1) * size], of_inner[n * size : (n + 1) * size]
                for e in range(size):
                    total += back[e] * abs(w[e])
                    sign = ONE if w[e] > ZERO else (-ONE if w[e] < ZERO else ZERO)
                    out[e] = back[e] * u[n] * sign
                grad_utilities[i, n] = total
            of_v[i - begin, 0] = g
        s = state[begin:end]
        run_back(of_w_1[:k], s, hidden_1[begin:end], first_1, last_1,
                 to_first_1, to_first_bias_1, to_last_1, to_last_bias_1)  # fmt: skip
        run_back(of_b[:k], s, hidden_b[begin:end], first_b, last_b,
                 to_first_b, to_first_bias_b, to_last_b, to_last_bias_b)  # fmt: skip
        run_back(of_w_2[:k], s, hidden_2[begin:end], first_2, last_2,
                 to_first_2, to_first_bias_2, to_last_2, to_last_bias_2)  # fmt: skip
        run_back(of_v[:k], s, hidden_v[begin:end], first_v, last_v,
                 to_first_v, to_first_bias_v, to_last_v, to_last_bias_v)  # fmt: skip
