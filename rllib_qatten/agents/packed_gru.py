"""A GRU over packed sequences, with a hand-written gradient computed in blocks of steps.

Gates, in the notation of `torch.nn.GRUCell` (h is the previous hidden state, h' the next one):

    m = W_hn h + b_hn
    r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
    z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
    n = tanh(W_in x + b_in + r m)
    h' = (1 - z) n + z h

Gates are columns, as in torch's weights: (r, z, n) receive x, (r, z, m) receive h.

The gradient d of h' reaches every gate through a factor of forward values only:

    n: d (1 - z) (1 - n^2)          m: (gradient of n) r
    z: d (h - n) z (1 - z)          r: (gradient of n) m r (1 - r)

So the factors of a whole block are computed at once, and the loop back through time is left with
one scaling and one matrix product per step. All weight gradients are one product per block; a
block is small enough to stay in the processor's cache.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rllib_qatten.hardware.fast_linear import by_rows, over_rows

Weights = tuple[Tensor, Tensor, Tensor, Tensor]
"""weight_ih [3h, I], weight_hh [3h, h], bias_ih [3h] and bias_hh [3h] of a `torch.nn.GRUCell`."""


def packed_gru(inputs: Tensor, rows: Sequence[int], weights: Weights, block: int = 1536) -> Tensor:
    """Hidden states of all sequences from a zero state, the same numbers as `packed_gru_steps`.

    Args:
        inputs: [M, I], time-major without padding; M = sum(rows).
        rows: number of sequences that are alive at each step, never increasing. The sequences
            alive at a step are the first ones of those alive before.
        weights: the cell's parameters in torch's layout, see `Weights`.
        block: at most this many entries per block, but at least one step; it affects the speed, not
            the result.

    Returns:
        [M, h]: the hidden state after each entry of `inputs`.
    """
    tensors = (inputs, *weights)
    if inputs.device.type != "cpu":
        return packed_gru_by_library(inputs, rows, weights)
    if torch.is_autocast_enabled("cpu"):
        return packed_gru_steps(inputs, rows, weights)  # the fast form is for one type of number
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


def packed_gru_by_library(inputs: Tensor, rows: Sequence[int], weights: Weights) -> Tensor:
    """`packed_gru` by torch's own GRU: on CUDA that is cuDNN's, three calls instead of a loop.

    It has no second derivative on CUDA, and says so. On a CPU it is slower than `packed_gru`.
    """
    before = inputs.new_zeros(1, rows[0], weights[1].shape[1])
    _lie_together(weights)
    train = torch.is_grad_enabled()  # keep what the gradient needs
    layers, dropout, bidirectional = 1, 0.0, False
    # What nn.GRU calls for a PackedSequence: our layout is its layout.
    states: Tensor = torch._VF.gru(
        inputs, torch.tensor(rows), before, list(weights), True, layers, dropout, train,
        bidirectional,
    )[0]  # fmt: skip
    return states


def _lie_together(weights: Weights) -> None:
    """Moves parameters on CUDA into one buffer, as cuDNN wants them, unless they are in one.

    They stay the same tensors, so optimizers need not know; `nn.GRU` does the same.
    """
    if not weights[0].is_cuda or len({w.untyped_storage().data_ptr() for w in weights}) == 1:
        return
    (inputs, hidden), gru_mode, layers = (weights[0].shape[1], weights[1].shape[1]), 3, 1
    with torch.no_grad():
        torch._cudnn_rnn_flatten_weight(
            list(weights), len(weights), inputs, gru_mode, hidden, 0, layers, False, False
        )


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
        ctx.save_for_backward(inputs, *weights, hidden, *gates)
        ctx.rows, ctx.block = rows, block
        return hidden[rows[0] :]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        inputs, *weights, hidden = ctx.saved_tensors[:6]
        if torch.is_grad_enabled():  # a second derivative: only the textbook form has it
            tensors = (inputs, *weights)
            wanted = ctx.needs_input_grad[: len(tensors)]
            states = packed_gru_steps(inputs, ctx.rows, tuple(weights))
            sources = [t for t, want in zip(tensors, wanted, strict=True) if want]
            found = iter(torch.autograd.grad(states, sources, grad, create_graph=True))
            return *(next(found) if want else None for want in wanted), None, None
        gates = ctx.saved_tensors[6:]
        weight_ih, weight_hh, *_ = weights
        grads = _gradients(grad, inputs, weight_ih, weight_hh, hidden, gates, ctx.rows, ctx.block)
        return *grads, None, None


def _run(
    inputs: Tensor, rows: Sequence[int], weights: Weights, block: int, keep: bool
) -> tuple[Tensor, list[Tensor]]:
    """Hidden states [rows[0] + M, h], beginning with the zero state, and what the gradient needs.

    The latter is, for each block, its gates (r, z, n) [rows, 3h] and its m [rows, h].
    """
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    size = weight_hh.shape[1]
    hidden = inputs.new_empty(rows[0] + len(inputs), size)
    hidden[: rows[0]] = 0
    before, after = _states(hidden, rows)
    kept = []
    for steps, entries in _blocks(rows, block):
        gates = by_rows(inputs[entries], weight_ih, bias_ih)
        r, z, n = gates.split_with_sizes([size] * 3, 1)
        per_step = zip(
            *(x.split_with_sizes(rows[steps]) for x in (gates[:, : 2 * size], r, z, n)),
            before[steps],
            after[steps],
            strict=True,
        )
        kept_m = []
        for r_and_z, r, z, n, h, new in per_step:
            from_hidden = by_rows(h, weight_hh, bias_hh, few_lengths=True)
            to_r_and_z, m = from_hidden.split_with_sizes([2 * size, size], 1)
            r_and_z.add_(to_r_and_z).sigmoid_()
            # tanh(a) = 2 sigmoid(2 a) - 1, in a fraction of the time of torch's tanh on a CPU.
            n.addcmul_(r, m).mul_(2).sigmoid_().mul_(2).sub_(1)
            torch.lerp(n, h, z, out=new)
            if keep:
                kept_m.append(m)
        if keep:
            kept += [gates, torch.cat(kept_m)]
    return hidden, kept


def _gradients(
    grad: Tensor,
    inputs: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    hidden: Tensor,
    kept: Sequence[Tensor],
    rows: Sequence[int],
    block: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of inputs, weight_ih, weight_hh, bias_ih, bias_hh, given the states' gradient."""
    size = weight_hh.shape[1]
    to_input, to_hidden = weight_ih.T.contiguous(), weight_hh.T.contiguous()
    grad_inputs = torch.empty_like(inputs)
    grad_ih, grad_hh = torch.zeros_like(weight_ih), torch.zeros_like(weight_hh)
    bias_ih, bias_hh = grad.new_zeros(3 * size), grad.new_zeros(3 * size)
    before, _ = _states(hidden, rows)
    carried = grad.new_empty(0, size)
    blocks = zip(_blocks(rows, block), kept[::2], kept[1::2], strict=True)
    for (steps, entries), gates, m in reversed(list(blocks)):
        h, d = torch.cat(before[steps]), grad[entries].clone()
        gate_grads, of_n = _factors(gates, m, h)  # so far without d
        z = gates[:, size : 2 * size]
        per_gate = gate_grads.view(-1, 3, size)
        per_step = zip(
            *(x.split_with_sizes(rows[steps]) for x in (gate_grads, per_gate, d, z)), strict=True
        )
        for of_gates, each, of_state, z in reversed(list(per_step)):
            of_state[: len(carried)] += carried
            each *= of_state.unsqueeze(1)
            carried = by_rows(of_gates, to_hidden, few_lengths=True)
            carried.addcmul_(of_state, z)
        grad_hh += over_rows(gate_grads, h)
        bias_hh += gate_grads.sum(0)
        torch.mul(of_n, d, out=gate_grads[:, 2 * size :])  # from (r, z, m) to (r, z, n)
        grad_ih += over_rows(gate_grads, inputs[entries])
        bias_ih += gate_grads.sum(0)
        grad_inputs[entries] = by_rows(gate_grads, to_input)
    return grad_inputs, grad_ih, grad_hh, bias_ih, bias_hh


def _factors(gates: Tensor, m: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """What the gradient of h' is scaled by for (r, z, m) [rows, 3h], and for n [rows, h].

    Written in place, since temporaries of this size would cost as much as the arithmetic.
    """
    r, z, n = gates.tensor_split(3, 1)
    factors = torch.empty_like(gates)
    dr, dz, dm = factors.tensor_split(3, 1)
    new = 1 - z
    torch.sub(h, n, out=dz).mul_(z).mul_(new)
    dn = n * n
    torch.addcmul(new, new, dn, value=-1, out=dn)  # (1 - z) (1 - n^2)
    torch.mul(dn, r, out=dm)
    torch.addcmul(dm, dm, r, value=-1, out=dr).mul_(m)  # dm (1 - r) m
    return factors, dn


def _states(hidden: Tensor, rows: Sequence[int]) -> tuple[list[Tensor], list[Tensor]]:
    """Views of the hidden states before and after each step, one row per sequence alive in it."""
    states = hidden.split_with_sizes([rows[0], *rows])
    return [h[:alive] for h, alive in zip(states, rows, strict=False)], list(states[1:])


def _blocks(rows: Sequence[int], block: int) -> list[tuple[slice, slice]]:
    """The steps and the entries of each block."""
    blocks, first_step, first_entry, end = [], 0, 0, 0
    for step, alive in enumerate(rows):
        if end + alive - first_entry > block and step > first_step:
            blocks.append((slice(first_step, step), slice(first_entry, end)))
            first_step, first_entry = step, end
        end += alive
    return [*blocks, (slice(first_step, len(rows)), slice(first_entry, end))]
