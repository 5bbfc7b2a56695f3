"""A GRU over packed sequences, with a gradient written by hand and worked off in blocks of steps.

Gates, in the notation of `torch.nn.GRUCell` (h is the previous hidden state, h' the next one):

    m = W_hn h + b_hn
    r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
    z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
    n = tanh(W_in x + b_in + r m)
    h' = (1 - z) n + z h

They are kept as four contiguous planes (m, r, z, n): the first three receive h, the last three x.

The gradient d of h' reaches every plane through a factor that holds forward values only:

    n: d (1 - z) (1 - n^2)          m: (gradient of n) r
    z: d (h - n) z (1 - z)          r: (gradient of n) m r (1 - r)

So the factors of a whole block are computed at once, and the loop back through time is left with
one scaling and one matrix product per step. All weight gradients are one product per block; a
block is small enough to stay in the processor's cache.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Weights = tuple[Tensor, Tensor, Tensor, Tensor]
"""weight_ih [3h, I], weight_hh [3h, h], bias_ih [3h] and bias_hh [3h] of a `torch.nn.GRUCell`."""


def packed_gru(inputs: Tensor, rows: Sequence[int], weights: Weights, block: int = 8) -> Tensor:
    """Hidden states of all sequences from a zero start, the same numbers as `packed_gru_steps`.

    Args:
        inputs: [M, I], time-major without padding; M = sum(rows).
        rows: number of sequences that are alive at each step, never increasing. The sequences
            alive at a step are the first ones of those alive before.
        weights: the cell's parameters in torch's layout, see `Weights`.
        block: steps per block; it changes the speed, not the result.

    Returns:
        [M, h]: the hidden state after each entry of `inputs`.
    """
    tensors = (inputs, *weights)
    if inputs.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return packed_gru_steps(inputs, rows, weights)  # the fast form is for plain CPU tensors
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        # torch leaves `apply` untyped
        result: Tensor = _PackedGRU.apply(*tensors, rows, block)  # type: ignore[no-untyped-call]
        return result
    return _run(inputs, rows, weights, block, keep=False)[0][rows[0] :]


def packed_gru_steps(inputs: Tensor, rows: Sequence[int], weights: Weights) -> Tensor:
    """The textbook form of `packed_gru`: one GRU cell per step, differentiated by autograd."""
    hidden = inputs.new_zeros(rows[0], weights[1].shape[1])
    states = []
    for step, alive in zip(inputs.split_with_sizes(list(rows)), rows, strict=True):
        hidden = torch.gru_cell(step, hidden[:alive], *weights)
        states.append(hidden)
    return torch.cat(states)


class _PackedGRU(torch.autograd.Function):
    """`packed_gru` with its gradient. Every call owns its buffers, so calls can be interleaved."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor,
        bias_hh: Tensor,
        rows: Sequence[int],
        block: int,
    ) -> Tensor:
        weights = (weight_ih, weight_hh, bias_ih, bias_hh)
        hidden, gates = _run(inputs, rows, weights, block, keep=True)
        ctx.save_for_backward(inputs, *weights, hidden, gates)
        ctx.rows, ctx.block = rows, block
        return hidden[rows[0] :]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, hidden, gates = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted: only the textbook form has it
            wanted = ctx.needs_input_grad[: len(tensors)]
            states = packed_gru_steps(tensors[0], ctx.rows, tuple(tensors[1:]))
            sources = [t for t, want in zip(tensors, wanted, strict=True) if want]
            found = iter(torch.autograd.grad(states, sources, grad, create_graph=True))
            return *(next(found) if want else None for want in wanted), None, None
        inputs, weight_ih, weight_hh, *_ = tensors
        grads = _gradients(grad, inputs, weight_ih, weight_hh, hidden, gates, ctx.rows, ctx.block)
        return *grads, None, None


def _run(
    inputs: Tensor, rows: Sequence[int], weights: Weights, block: int, keep: bool
) -> tuple[Tensor, Tensor]:
    """Hidden states [rows[0] + M, h], led by the zero start, and the gate planes [4, M, h].

    Unless the planes are to be kept, every block writes over those of the block before.
    """
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    size = weight_hh.shape[1]
    from_input = weight_ih.reshape(3, size, -1).mT  # into r, z, n
    from_hidden = weight_hh.roll(size, 0).reshape(3, size, size).mT  # into m, r, z
    bias = (bias_ih + F.pad(bias_hh[: 2 * size], (0, size))).view(3, 1, size)
    hidden = inputs.new_empty(rows[0] + len(inputs), size)
    hidden[: rows[0]] = 0
    gates = inputs.new_empty(4, len(inputs) if keep else sum(rows[:block]), size)
    before, after = _states(hidden, rows)
    for steps, entries in _blocks(rows, block):
        x = inputs[entries].expand(3, -1, -1)
        planes = gates[:, entries] if keep else gates[:, : x.shape[1]]
        planes[0] = bias_hh[2 * size :]
        torch.baddbmm(bias, x, from_input, out=planes[1:])
        for step, h, new in zip(
            planes.split_with_sizes(rows[steps], 1), before[steps], after[steps], strict=True
        ):
            m, r, z, n = step
            step[:3].baddbmm_(h.expand(3, -1, -1), from_hidden)
            step[1:3].sigmoid_()
            # tanh(a) = 2 sigmoid(2 a) - 1, at a fraction of the time torch's tanh takes on a CPU.
            n.addcmul_(r, m).mul_(2).sigmoid_().mul_(2).sub_(1)
            torch.lerp(n, h, z, out=new)
    return hidden, gates


def _gradients(
    grad: Tensor,
    inputs: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    hidden: Tensor,
    gates: Tensor,
    rows: Sequence[int],
    block: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of inputs, weight_ih, weight_hh, bias_ih and bias_hh, given that of the states."""
    size = weight_hh.shape[1]
    to_input = weight_ih.reshape(3, size, -1)
    to_hidden = weight_hh.roll(size, 0).reshape(3, size, size)
    grad_inputs = torch.empty_like(inputs)
    grad_ih = torch.zeros_like(to_input)
    grad_hh = torch.zeros_like(to_hidden)
    grad_bias = grad.new_zeros(4, size)
    before, _ = _states(hidden, rows)
    carried = grad.new_empty(0, size)
    for steps, entries in reversed(_blocks(rows, block)):
        h = torch.cat(before[steps])
        planes = _factors(gates[:, entries], h)
        grads = grad[entries].clone()
        per_step = zip(
            planes.split_with_sizes(rows[steps], 1),
            grads.split_with_sizes(rows[steps]),
            strict=True,
        )
        for step, d in reversed(list(per_step)):
            d[: len(carried)] += carried
            step *= d
            carried = step[4].addbmm_(step[:3], to_hidden)
        grad_hh.baddbmm_(planes[:3].mT, h.expand(3, -1, -1))
        grad_ih.baddbmm_(planes[1:4].mT, inputs[entries].expand(3, -1, -1))
        grad_bias += planes[:4].sum(1)
        grad_inputs[entries].addbmm_(planes[1:4], to_input, beta=0)
    return (
        grad_inputs,
        grad_ih.view_as(weight_ih),
        grad_hh.view_as(weight_hh).roll(-size, 0),
        grad_bias[1:].flatten(),
        grad_bias[:3].roll(-1, 0).flatten(),
    )


def _factors(gates: Tensor, h: Tensor) -> Tensor:
    """What the gradient of h' is scaled by for m, r, z, n and for h itself: [5, rows, h].

    Written in place, since temporaries of this size would cost as much as the arithmetic.
    """
    m, r, z, n = gates
    factors = gates.new_empty(5, *h.shape)
    dm, dr, dz, dn, dh = factors
    new = torch.sub(1, z, out=dh)
    torch.sub(h, n, out=dz).mul_(z).mul_(new)
    torch.mul(n, n, out=dn)
    torch.addcmul(new, new, dn, value=-1, out=dn)  # (1 - z) (1 - n^2)
    torch.mul(dn, r, out=dm)
    torch.addcmul(dm, dm, r, value=-1, out=dr).mul_(m)  # dm (1 - r) m
    dh.copy_(z)
    return factors


def _states(hidden: Tensor, rows: Sequence[int]) -> tuple[list[Tensor], list[Tensor]]:
    """Views of the hidden states before and after each step, one row per sequence alive in it."""
    states = hidden.split_with_sizes([rows[0], *rows])
    return [h[:alive] for h, alive in zip(states, rows, strict=False)], list(states[1:])


def _blocks(rows: Sequence[int], block: int) -> list[tuple[slice, slice]]:
    """The steps and the entries of each block."""
    ends = [0, *accumulate(rows)]
    return [
        (slice(t, t + block), slice(ends[t], ends[min(t + block, len(rows))]))
        for t in range(0, len(rows), block)
    ]
