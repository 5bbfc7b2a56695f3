"""Rows of inputs without an observation: look-ups alone pass the encoder, and only once.

Letters as in `recurrent`; S = D - L rows. Functions of their own, since with the encoder inlined
twice the gradient of the recurrent agent took 1.4 times as long.
"""

import numpy as np

from rllib_qatten.compiled.arithmetic import F1, F2, I1, ZERO, transposed
from rllib_qatten.compiled.compiler import jit
from rllib_qatten.compiled.encoder import encode, input_gates_back, tables, tables_back

_KEPT = ", ".join([F2, F2, F1])


@jit(f"void({I1}, {I1}, int64, int64, {F2}, {F1}, {F1}, {F1}, {F2}, {_KEPT}, {F2})")
def encode_unseen(
    last, ids, n_actions, n_agents, encoder, encoder_bias, norm, norm_bias, weight_ih,
    encoded, normed, scales, gates,
):  # fmt: skip
    """W_i x of these rows.

    Args:
        last: [S] last actions.
        ids: [S] of agents.
        n_actions: A or 0.
        n_agents: N or 0.
        encoder: [h, I].
        encoder_bias: [h].
        norm: [h] or empty.
        norm_bias: [h] or empty.
        weight_ih: [3h, h].
        encoded: [S, h] receives the encoder's output.
        normed: [S, h] receives the normalized rows; empty without a layer norm.
        scales: [S] receives what they were multiplied by.
        gates: [S, 3h] receives the result.
    """
    o = encoder.shape[1] - n_actions - n_agents
    of_action, of_agent = tables(encoder, encoder_bias, o, n_actions, n_agents)
    encoded[:] = ZERO
    encode(encoded, last, ids, of_action, of_agent, norm, norm_bias, normed, scales)
    np.dot(encoded, transposed(weight_ih), gates)


_GRADS = ", ".join([F2, F1, F1, F1, F2, F1])


@jit(f"void({F2}, {I1}, {I1}, int64, int64, {F1}, {F2}, {_KEPT}, {_GRADS})")
def unseen_back(
    of_gates, last, ids, n_actions, n_agents, norm, weight_ih, encoded, normed, scales,
    grad_encoder, grad_encoder_bias, grad_norm, grad_norm_bias, grad_ih, grad_bias_ih,
):  # fmt: skip
    """Adds the gradients of `encode_unseen`, given that of its result in `of_gates` [S, 3h]."""
    size = encoded.shape[1]
    of_action = np.zeros((1 + n_actions, size), np.float32)
    of_agent = np.zeros((max(n_agents, 1), size), np.float32)
    grad, part = np.empty(encoded.shape, np.float32), np.empty(grad_ih.shape, np.float32)
    input_gates_back(
        of_gates, 0, encoded, normed, scales, last, ids, weight_ih, norm, grad, part,
        grad_ih, grad_bias_ih, grad_norm, grad_norm_bias, of_action, of_agent,
    )  # fmt: skip
    tables_back(of_action, of_agent, n_agents, grad_encoder, grad_encoder_bias)
