"""The encoder of an agent network, row by row: look-ups of one-hot inputs, layer norm, ReLU.

Letters as in `recurrent`. One-hot inputs are looked up: their columns of the encoder's weight are
rows of a table.
"""

import numpy as np

from rllib_qatten.compiled.arithmetic import ONE, ZERO, add, add_rows
from rllib_qatten.compiled.compiler import inlined

#: Of torch.nn.LayerNorm.
EPSILON = np.float32(1e-5)


@inlined
def tables(weight, bias, o, n_actions, n_agents):
    """What one-hot inputs add: [1 + A, h] of the last action (0: none yet), [N, h] of the id.

    The latter includes the bias. `n_actions` or `n_agents` is 0 if inputs do not have them.
    """
    size = weight.shape[0]
    of_action = np.zeros((1 + n_actions, size), np.float32)
    of_agent = np.empty((max(n_agents, 1), size), np.float32)
    for k in range(size):
        for a in range(n_actions):
            of_action[1 + a, k] = weight[k, o + a]
        for i in range(of_agent.shape[0]):
            of_agent[i, k] = bias[k] + (weight[k, o + n_actions + i] if n_agents else ZERO)
    return of_action, of_agent


@inlined
def encode(x, last, ids, of_action, of_agent, norm, norm_bias, normed, scales):
    """Adds look-ups to x [n, h], normalizes if `norm` is not empty, and takes the ReLU, in place.

    What the gradient needs: `normed` [n, h], `scales` [n].
    """
    n_actions = of_action.shape[0] - 1
    size = x.shape[1]
    share = ONE / np.float32(size)
    for i in range(x.shape[0]):
        row, agent = x[i], of_agent[ids[i]]
        action = of_action[last[i] + 1 if n_actions else 0]
        if norm.shape[0] == 0:
            for k in range(size):
                v = row[k] + action[k] + agent[k]
                row[k] = ZERO if v < ZERO else v
            continue
        out = normed[i]
        mean = ZERO
        for k in range(size):
            row[k] = row[k] + action[k] + agent[k]
            mean += row[k]
        mean *= share
        variance = ZERO
        for k in range(size):
            d = row[k] - mean
            variance += d * d
        scale = ONE / np.sqrt(variance * share + EPSILON)
        scales[i] = scale
        for k in range(size):
            out[k] = (row[k] - mean) * scale
            v = out[k] * norm[k] + norm_bias[k]
            row[k] = ZERO if v < ZERO else v


@inlined
def encode_back(grad, encoded, normed, scales, norm, grad_norm, grad_norm_bias):
    """The gradient of what entered `encode`, from that of its result, [n, h], in place."""
    size = grad.shape[1]
    share = ONE / np.float32(size)
    for i in range(grad.shape[0]):
        g, e = grad[i], encoded[i]
        for k in range(size):
            g[k] = g[k] if e[k] > ZERO else ZERO
        if norm.shape[0] == 0:
            continue
        x, scale, mean, along = normed[i], scales[i], ZERO, ZERO
        # Short loops over few arrays become vectors, see `gru`.
        for k in range(size):
            grad_norm_bias[k] += g[k]
        for k in range(size):
            grad_norm[k] += g[k] * x[k]
        for k in range(size):
            g[k] *= norm[k]
        for k in range(size):
            mean += g[k]
            along += g[k] * x[k]
        mean *= share
        along *= share
        for k in range(size):
            g[k] = scale * (g[k] - mean - x[k] * along)


@inlined
def look_ups_back(grad, last, ids, of_action, of_agent):
    """Adds gradients [n, h] to the rows of the tables that were looked up."""
    n_actions = of_action.shape[0] - 1
    for i in range(grad.shape[0]):
        g, agent = grad[i], of_agent[ids[i]]
        for k in range(grad.shape[1]):
            agent[k] += g[k]
        if n_actions:
            action = of_action[last[i] + 1]
            for k in range(grad.shape[1]):
                action[k] += g[k]


@inlined
def tables_back(of_action, of_agent, n_agents, grad_weight, grad_bias):
    """Adds gradients of the tables [1 + A, h] and [N, h] to those of weight and bias."""
    size, n_actions = of_action.shape[1], of_action.shape[0] - 1
    o = grad_weight.shape[1] - n_actions - n_agents
    for k in range(size):
        for a in range(n_actions):
            grad_weight[k, o + a] += of_action[1 + a, k]
        for i in range(n_agents):
            grad_weight[k, o + n_actions + i] += of_agent[i, k]
        for i in range(of_agent.shape[0]):
            grad_bias[k] += of_agent[i, k]


@inlined
def input_gates_back(
    of_gates, at, encoded, normed, scales, last, ids, weight_ih, norm, grad, part,
    grad_ih, grad_bias_ih, grad_norm, grad_norm_bias, of_action, of_agent,
):  # fmt: skip
    """Adds the gradients of `encode` and of the gates' input product after it.

    Args:
        of_gates: [n, 3h] gradients of the product, for n of L rows.
        at: The first of these rows.
        encoded: [L, h] what was kept of `encode`, like the following.
        normed: [L, h].
        scales: [L].
        last: [L].
        ids: [L].
        weight_ih: [3h, h].
        norm: [h] or empty.
        grad: [n, h] receives the gradient of the encoder's product with observations.
        part: [3h, h] to compute in.
        grad_ih: [3h, h] receives a gradient, like the following.
        grad_bias_ih: [3h].
        grad_norm: [h] or empty.
        grad_norm_bias: [h] or empty.
        of_action: [1 + A, h].
        of_agent: [N, h].
    """
    rows = encoded[at : at + of_gates.shape[0]]
    np.dot(of_gates.T, rows, part)
    add(grad_ih, part)
    add_rows(grad_bias_ih, of_gates)
    np.dot(of_gates, weight_ih, grad)
    encode_back(grad, rows, normed[at:], scales[at:], norm, grad_norm, grad_norm_bias)
    look_ups_back(grad, last[at:], ids[at:], of_action, of_agent)
