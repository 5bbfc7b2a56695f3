"""Qatten's mixer, forward and backward: one call each.

Letters: M rows, N agents, S state length, U' length of what keys are computed from, H heads, W
hidden width. Networks are passed as in `hypernets`: `probe`, one per head, gives the head's probe
K_h^T q_h [U'] (its arrays have a leading axis H), `w` the head weights (H outputs), and `c` c(s)
(1); the latter two have no outputs where the mixer is without. Rows go by blocks that fit the
processor's cache.

Other arguments of both functions:
    utilities: [M, N].
    state: [M, S].
    features: [M, N, U'].
    alive: [M, N]; without rows if attention ignores who is alive.
    scale: Of logits before the softmax.
    hidden_p: [H, M, W], what the ReLUs let pass; without rows where there is one layer.
    hidden_w: [M, W], the same.
    hidden_c: [M, E], the same.
    probes: [H, M, U'].
    logits: [M, H, N].
    attention: [M, H, N].
    values: [M, H], the heads' values.
    weights: [M, H], head weights before their absolute values; without columns if unweighted.
    constant_2d: [M, 1], room for c(s).
"""

import numpy as np

from rllib_qatten.compiled.arithmetic import B2, F1, F2, F3, ONE, ZERO, exp
from rllib_qatten.compiled.compiler import jit
from rllib_qatten.compiled.hypernets import run, run_back

BLOCK = 512
#: What torch.finfo(torch.float32).min is: the score of a dead agent.
DEAD = np.float32(-3.4028234663852886e38)
_NETS = ", ".join([F3, F2, F3, F2, F2, F1, F2, F1, F2, F1, F2, F1])
_KEPT = ", ".join([F3, F2, F2, F3, F3, F3, F2, F2, F2])


@jit(f"void({F2}, {F2}, {F3}, {B2}, float32, {_NETS}, {_KEPT}, {F1}, {F1})")
def forward(
    utilities, state, features, alive, scale,
    probe_first, probe_first_bias, probe_last, probe_last_bias,
    first_w, first_bias_w, last_w, last_bias_w,
    first_c, first_bias_c, last_c, last_bias_c,
    hidden_p, hidden_w, hidden_c, probes, logits, attention, values, weights, constant_2d,
    constant, q_tot,
):  # fmt: skip
    """Q_tot [M] and c(s) [M], the `constant`, and what `backward` and analysis need."""
    n_heads, n_agents, width = attention.shape[1], attention.shape[2], features.shape[2]
    none = np.empty((0, 0), np.float32)
    no_bias = np.empty(0, np.float32)
    for begin in range(0, utilities.shape[0], BLOCK):
        end = min(begin + BLOCK, utilities.shape[0])
        s = state[begin:end]
        for h in range(n_heads):
            two, biased = probe_first.shape[0] > 0, probe_last_bias.shape[0] > 0
            run(
                s,
                probe_first[h] if two else none,
                probe_first_bias[h] if two else no_bias,
                probe_last[h],
                probe_last_bias[h] if biased else no_bias,
                hidden_p[h, begin:end] if two else none,
                probes[h, begin:end],
            )
        if last_w.shape[0]:
            run(
                s,
                first_w,
                first_bias_w,
                last_w,
                last_bias_w,
                hidden_w[begin:end],
                weights[begin:end],
            )
        if last_c.shape[0]:
            run(
                s,
                first_c,
                first_bias_c,
                last_c,
                last_bias_c,
                hidden_c[begin:end],
                constant_2d[begin:end],
            )
        for i in range(begin, end):
            u, total = utilities[i], ZERO
            for h in range(n_heads):
                probe, raw, att = probes[h, i], logits[i, h], attention[i, h]
                most = DEAD
                for n in range(n_agents):
                    unit, product = features[i, n], ZERO
                    for j in range(width):
                        product += probe[j] * unit[j]
                    raw[n] = product
                    att[n] = product * scale
                    if alive.shape[0] and not alive[i, n]:
                        att[n] = DEAD
                    most = att[n] if att[n] > most else most
                mass, value = ZERO, ZERO
                for n in range(n_agents):
                    att[n] = exp(att[n] - most)
                    mass += att[n]
                if alive.shape[0] and most > DEAD:
                    mass = ZERO
                    for n in range(n_agents):  # the exponential of nothing is not quite zero
                        att[n] = att[n] if alive[i, n] else ZERO
                        mass += att[n]
                for n in range(n_agents):
                    att[n] /= mass
                    value += att[n] * u[n]
                values[i, h] = value
                total += value * (abs(weights[i, h]) if last_w.shape[0] else ONE)
            constant[i] = constant_2d[i, 0] if last_c.shape[0] else ZERO
            q_tot[i] = total + constant[i]


@jit(f"void({F1}, {F1}, {F2}, {F2}, {F3}, {B2}, float32, {_NETS}, {_KEPT}, {F2}, {F3}, {_NETS})")
def backward(
    grad, grad_squares, utilities, state, features, alive, scale,
    probe_first, probe_first_bias, probe_last, probe_last_bias,
    first_w, first_bias_w, last_w, last_bias_w,
    first_c, first_bias_c, last_c, last_bias_c,
    hidden_p, hidden_w, hidden_c, probes, logits, attention, values, weights, constant_2d,
    grad_utilities, grad_features,
    to_probe_first, to_probe_first_bias, to_probe_last, to_probe_last_bias,
    to_first_w, to_first_bias_w, to_last_w, to_last_bias_w,
    to_first_c, to_first_bias_c, to_last_c, to_last_bias_c,
):  # fmt: skip
    """Gradients of utilities, features (if it has rows) and, added to zeros, of all parameters.

    `grad` [M] is that of Q_tot; `grad_squares` [M] is twice that of the row's squared logits, empty
    if there is no regularizer.
    """
    n_heads, n_agents, width = attention.shape[1], attention.shape[2], features.shape[2]
    none = np.empty((0, 0), np.float32)
    no_bias = np.empty(0, np.float32)
    two, biased = probe_first.shape[0] > 0, probe_last_bias.shape[0] > 0
    of_probes = np.empty((n_heads, BLOCK, width), np.float32)
    of_weights, of_constant = (
        np.empty((BLOCK, n_heads), np.float32),
        np.empty((BLOCK, 1), np.float32),
    )
    grad_utilities[:] = ZERO
    grad_features[:] = ZERO
    for begin in range(0, utilities.shape[0], BLOCK):
        end = min(begin + BLOCK, utilities.shape[0])
        k = end - begin
        for i in range(begin, end):
            u, of_u, g = utilities[i], grad_utilities[i], grad[i]
            of_constant[i - begin, 0] = g
            for h in range(n_heads):
                att, raw, value = attention[i, h], logits[i, h], values[i, h]
                d, probe, of_probe = g, probes[h, i], of_probes[h, i - begin]
                if last_w.shape[0]:
                    w = weights[i, h]
                    d = g * abs(w)
                    of_weights[i - begin, h] = (
                        g * value * (ONE if w > ZERO else -ONE if w < ZERO else ZERO)
                    )
                of_probe[:] = ZERO
                for n in range(n_agents):
                    of_u[n] += d * att[n]
                    of_logit = scale * att[n] * d * (u[n] - value)
                    if alive.shape[0] and not alive[i, n]:
                        of_logit = ZERO
                    if grad_squares.shape[0]:
                        of_logit += grad_squares[i] * raw[n]
                    unit = features[i, n]
                    for j in range(width):
                        of_probe[j] += of_logit * unit[j]
                    if grad_features.shape[0]:
                        of_unit = grad_features[i, n]
                        for j in range(width):
                            of_unit[j] += of_logit * probe[j]
        s = state[begin:end]
        for h in range(n_heads):
            run_back(
                of_probes[h, :k],
                s,
                hidden_p[h, begin:end] if two else none,
                probe_first[h] if two else none,
                probe_last[h],
                to_probe_first[h] if two else none,
                to_probe_first_bias[h] if two else no_bias,
                to_probe_last[h],
                to_probe_last_bias[h] if biased else no_bias,
            )
        if last_w.shape[0]:
            run_back(of_weights[:k], s, hidden_w[begin:end], first_w, last_w,
                     to_first_w, to_first_bias_w, to_last_w, to_last_bias_w)  # fmt: skip
        if last_c.shape[0]:
            run_back(of_constant[:k], s, hidden_c[begin:end], first_c, last_c,
                     to_first_c, to_first_bias_c, to_last_c, to_last_bias_c)  # fmt: skip
