"""Networks of the state, of one layer or of two with a ReLU between, forward and backward.

Letters: M rows, S state length, W width between two layers, J outputs. A network is `first` [W, S]
and `first_bias` [W], both empty if it has one layer, then `last` [J, W] (or [J, S]) and `last_bias`
[J], empty if there is none.
"""

import numpy as np

from rllib_qatten.compiled.arithmetic import ZERO, add, add_rows, transposed
from rllib_qatten.compiled.compiler import inlined


@inlined
def run(state, first, first_bias, last, last_bias, hidden, out):
    """Output [M, J] from state [M, S]; `hidden` [M, W] receives what the ReLU lets pass."""
    x = state
    if first.shape[0]:
        np.dot(state, transposed(first), hidden)
        for i in range(hidden.shape[0]):
            row = hidden[i]
            for j in range(row.shape[0]):
                v = row[j] + first_bias[j]
                row[j] = ZERO if v < ZERO else v
        x = hidden
    np.dot(x, transposed(last), out)
    if last_bias.shape[0]:
        for i in range(out.shape[0]):
            row = out[i]
            for j in range(row.shape[0]):
                row[j] += last_bias[j]


@inlined
def run_back(grad, state, hidden, first, last, grad_first, grad_first_bias, grad_last, grad_bias):
    """Adds the gradients of a network's parameters, given that of its output [M, J]."""
    part = np.empty(last.shape, np.float32)
    if grad_bias.shape[0]:
        add_rows(grad_bias, grad)
    if not first.shape[0]:
        np.dot(grad.T, state, part)
        add(grad_last, part)
        return
    np.dot(grad.T, hidden, part)
    add(grad_last, part)
    inner = np.dot(grad, last)
    for i in range(inner.shape[0]):
        row, h = inner[i], hidden[i]
        for j in range(row.shape[0]):
            row[j] = row[j] if h[j] > ZERO else ZERO
    add_rows(grad_first_bias, inner)
    of_first = np.empty(first.shape, np.float32)
    np.dot(inner.T, state, of_first)
    add(grad_first, of_first)
