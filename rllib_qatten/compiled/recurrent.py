"""The recurrent agent over whole packed episodes, forward and backward: one call each.

Letters: M rows (an agent of an entry each), time-major, N agents; T steps, with `rows[t]` rows
each, never increasing; O observation length, A actions, I input length, h hidden size. D rows of
inputs are different, and L of these have an observation, see `distinct`: only they pass the encoder
and the gates' input product.

Work goes by blocks of steps that fit the processor's cache: all of a block's rows pass a layer
together, only the recurrent product goes step by step.
"""

import numpy as np

from rllib_qatten.compiled.arithmetic import F1, F2, I1, add, add_rows, transposed
from rllib_qatten.compiled.compiler import inlined, jit
from rllib_qatten.compiled.distinct import count_seen, distinct, gather, spread
from rllib_qatten.compiled.encoder import encode, input_gates_back, tables, tables_back
from rllib_qatten.compiled.gru import gru_step, gru_step_back
from rllib_qatten.compiled.unseen import encode_unseen, unseen_back

#: All that an agent needs, compiled together.
__all__ = ["backward", "distinct", "encode_unseen", "forward", "unseen_back"]

_WEIGHTS = ", ".join([F2, F1, F1, F1, F2, F2, F1, F1, F2, F1])
_INPUTS = ", ".join([F2, I1, I1, I1, I1, "int64, int64"])
_KEPT = ", ".join([F2, F2, F1, F2, F2, F2])


@inlined
def end_of_block(rows, begin, block):
    """The first step after a block that begins at step `begin`, and the block's rows."""
    end, n = begin, 0
    while end < rows.shape[0] and (n == 0 or n + rows[end] <= block):
        n += rows[end]
        end += 1
    return end, n


@jit(f"void({_INPUTS}, {F2}, {_WEIGHTS}, int64, boolean, {_KEPT}, boolean, {F2})")
def forward(
    observations, last, ids, places, rows, n_actions, n_agents, unseen, encoder, encoder_bias, norm,
    norm_bias, weight_ih, weight_hh, bias_ih, bias_hh, head, head_bias, block, keep, encoded,
    normed, scales, gates, m, hidden, begun, utilities,
):  # fmt: skip
    """Utilities [M, A] of all rows, and what `backward` needs.

    Args:
        observations: [L, O].
        last: [L] last actions, -1 where there is none.
        ids: [L] of agents; zeros if inputs are without ids.
        places: [M] which of the D rows each row is.
        rows: [T].
        n_actions: A, or 0 if inputs are without last actions.
        n_agents: N, or 0 if inputs are without ids.
        unseen: [D - L, 3h] W_i x of rows without an observation, see `encode_unseen`.
        encoder: [h, I].
        encoder_bias: [h].
        norm: [h] scale of the layer norm; empty if there is none.
        norm_bias: [h].
        weight_ih: [3h, h].
        weight_hh: [3h, h].
        bias_ih: [3h].
        bias_hh: [3h].
        head: [A, h]; [0, h] if only hidden states are wanted.
        head_bias: [A].
        block: At most this many rows per block, but at least one step.
        keep: Whether what follows is kept for `backward`. If not, the largest block's rows take the
            place of M and of L.
        encoded: [L, h] receives the encoder's output.
        normed: [L, h] receives the normalized rows; empty without a layer norm.
        scales: [L] receives what they were multiplied by.
        gates: [M, 3h] receives r, z, n.
        m: [M, h] receives m.
        hidden: [rows[0] + M, h] begins with the hidden states before the first step, and receives
            those after each row.
        begun: Whether the first ones are not zeros.
        utilities: [M, A] receives the result.
    """
    n_seen, o = observations.shape
    size, alive = weight_hh.shape[1], rows[0]
    from_observation = transposed(encoder[:, :o])
    of_action, of_agent = tables(encoder, encoder_bias, o, n_actions, n_agents)
    bias = bias_ih.copy()
    for j in range(2 * size):
        bias[j] += bias_hh[j]
    to_gates, to_next = transposed(weight_ih), transposed(weight_hh)
    to_head = transposed(head)
    from_hidden = np.zeros((alive, 3 * size), np.float32)
    step, start, before, seen = 0, 0, 0, 0
    while step < rows.shape[0]:
        end, n = end_of_block(rows, step, block)
        of_block = places[start : start + n]
        n_here = count_seen(of_block, n_seen)
        at, seen_at = (start, seen) if keep else (0, 0)
        g = gates[at : at + n]
        if n_here:
            x, inputs = encoded[seen_at : seen_at + n_here], g[n - n_here :]
            np.dot(observations[seen : seen + n_here], from_observation, x)
            encode(
                x, last[seen:], ids[seen:], of_action, of_agent, norm, norm_bias,
                normed[seen_at:], scales[seen_at:],
            )  # fmt: skip
            np.dot(x, to_gates, inputs)
        spread(g, unseen, of_block, n_seen, n_here)
        seen += n_here
        done = 0
        for t in range(step, end):
            k, after = rows[t], alive + start + done
            if t or begun:
                np.dot(hidden[before : before + k], to_next, from_hidden[:k])
            gru_step(
                g[done : done + k],
                from_hidden,
                hidden[before : before + k],
                hidden[after : after + k],
                bias,
                bias_hh[2 * size :],
                m[at + done : at + done + k],
            )
            before = after
            done += k
        if head.shape[0]:
            u = utilities[start : start + n]
            np.dot(hidden[alive + start : alive + start + n], to_head, u)
            for i in range(n):
                for a in range(head.shape[0]):
                    u[i, a] += head_bias[a]
        step = end
        start += n


_BACK = ", ".join([F2, F1, F2, F2, F2])


@jit(f"void({F2}, {F2}, {_INPUTS}, {_BACK}, int64, {_KEPT}, {F2}, {F2}, {_WEIGHTS})")
def backward(
    grad_utilities, grad_hidden, observations, last, ids, places, rows, n_actions, n_agents,
    encoder, norm, weight_ih, weight_hh, head, block, encoded, normed, scales, gates, m, hidden,
    of_unseen, grad_observations, grad_encoder, grad_encoder_bias, grad_norm, grad_norm_bias,
    grad_ih, grad_hh, grad_bias_ih, grad_bias_hh, grad_head, grad_head_bias,
):  # fmt: skip
    """Gradients of all parameters.

    Args:
        grad_utilities: [M, A]; not read if the head is empty.
        grad_hidden: [M, h] instead, then; else empty.
        observations: As in `forward`, like the following.
        last: [L].
        ids: [L].
        places: [M].
        rows: [T].
        n_actions: A or 0.
        n_agents: N or 0.
        encoder: [h, I].
        norm: [h] or empty.
        weight_ih: [3h, h].
        weight_hh: [3h, h].
        head: [A, h] or [0, h].
        block: Rows per block.
        encoded: [L, h] what `forward` kept, like the following.
        normed: [L, h] or empty.
        scales: [L] or empty.
        gates: [M, 3h].
        m: [M, h].
        hidden: [rows[0] + M, h].
        of_unseen: [D - L, 3h] zeros that receive the gradient of `unseen`.
        grad_observations: [L, C] receives the gradient of the last C columns of observations; C is
            0 if they are data.
        grad_encoder: [h, I], zeros that receive a gradient, like the following.
        grad_encoder_bias: [h].
        grad_norm: [h] or empty.
        grad_norm_bias: [h] or empty.
        grad_ih: [3h, h].
        grad_hh: [3h, h].
        grad_bias_ih: [3h].
        grad_bias_hh: [3h].
        grad_head: [A, h] or [0, h].
        grad_head_bias: [A] or [0].
    """
    n_seen, o = observations.shape
    size, alive, n_steps = weight_hh.shape[1], rows[0], rows.shape[0]
    starts = np.zeros(n_steps + 1, np.int64)
    for t in range(n_steps):
        starts[t + 1] = starts[t] + rows[t]
    most = min(max(block, alive), starts[n_steps])
    of_gates, of_n = np.empty((most, 3 * size), np.float32), np.empty((most, size), np.float32)
    copies, of_encoded = np.empty((most, size), np.float32), np.empty((most, size), np.float32)
    of_hidden = np.empty((most, size), np.float32)
    carried, to_before = np.empty((alive, size), np.float32), np.empty((alive, size), np.float32)
    of_action = np.zeros((1 + n_actions, size), np.float32)
    of_agent = np.zeros((max(n_agents, 1), size), np.float32)
    from_observation = np.zeros((size, o), np.float32)
    to_observation = encoder[:, o - grad_observations.shape[1] : o].copy()
    part_o, part_h = np.empty((size, o), np.float32), np.empty((3 * size, size), np.float32)
    part_head = np.empty(head.shape, np.float32)
    n_carried, end, seen = 0, n_steps, n_seen
    while end:
        step, n = end, 0
        while step and (n == 0 or n + rows[step - 1] <= block):
            step -= 1
            n += rows[step]
        base = starts[step]
        if head.shape[0]:
            u = grad_utilities[base : base + n]
            np.dot(u, head, of_hidden[:n])
            np.dot(u.T, hidden[alive + base : alive + base + n], part_head)
            add(grad_head, part_head)
            add_rows(grad_head_bias, u)
            grad = of_hidden[:n]
        else:
            grad = grad_hidden[base : base + n]
        for t in range(end - 1, step - 1, -1):
            k, start = rows[t], starts[t]
            at, before = start - base, alive + starts[t - 1] if t else 0
            gru_step_back(
                gates[start : start + k],
                m[start : start + k],
                hidden[before : before + k],
                grad[at : at + k],
                carried,
                n_carried,
                to_before,
                of_gates[at : at + k],
                of_n[at : at + k],
                copies[at : at + k],
            )
            if t:
                np.dot(of_gates[at : at + k], weight_hh, carried[:k])
            n_carried = k
        g = of_gates[:n]
        np.dot(g.T, copies[:n], part_h)
        add(grad_hh, part_h)
        add_rows(grad_bias_hh, g)
        n_here = gather(g, of_n, of_unseen, places[base : base + n], n_seen)
        if n_here:
            seen -= n_here
            x = of_encoded[:n_here]
            input_gates_back(
                g[:n_here], seen, encoded, normed, scales, last, ids, weight_ih, norm, x, part_h,
                grad_ih, grad_bias_ih, grad_norm, grad_norm_bias, of_action, of_agent,
            )  # fmt: skip
            np.dot(x.T, observations[seen : seen + n_here], part_o)
            add(from_observation, part_o)
            if to_observation.shape[1]:
                np.dot(x, to_observation, grad_observations[seen : seen + n_here])
        end = step
    for k in range(size):
        for j in range(o):
            grad_encoder[k, j] = from_observation[k, j]
    tables_back(of_action, of_agent, n_agents, grad_encoder, grad_encoder_bias)
