"""The recurrent agent over whole episodes as one compiled call, and its gradient as another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rllib_qatten.agents.inputs import EpisodeInputs, InputLayout
from rllib_qatten.compiled.compiler import blas_threads, kernels

#: Rows of a block: with all that is computed for them, they fit the processor's cache.
BLOCK = 512

Parameters = Sequence[Tensor]
"""Weight and bias of encoder, layer norm (both empty if there is none), GRU and head (likewise)."""


def suits(inputs: Tensor | EpisodeInputs, parameters: Parameters) -> bool:
    """Whether the compiled functions can take these: plain float32 on a CPU."""
    if not isinstance(inputs, EpisodeInputs) or torch.is_autocast_enabled("cpu"):
        return False
    if torch.compiler.is_compiling() or inputs.observations.requires_grad:
        return False
    tensors = (inputs.observations, *parameters)
    if any(t.dtype != torch.float32 or t.device.type != "cpu" for t in tensors):
        return False
    return kernels("recurrent") is not None


def parameters_of(
    encoder: nn.Linear, norm: nn.Module, gru: nn.GRUCell, head: nn.Linear | None
) -> Parameters:
    """The parameters in the order that the compiled functions take them in."""
    weights: list[Tensor] = [encoder.weight, encoder.bias]
    none = encoder.weight.new_empty(0)
    weights += [norm.weight, norm.bias] if isinstance(norm, nn.LayerNorm) else [none, none]
    weights += [gru.weight_ih, gru.weight_hh, gru.bias_ih, gru.bias_hh]
    no_head = encoder.weight.new_empty(0, gru.hidden_size)
    return [*weights, *([no_head, none] if head is None else [head.weight, head.bias])]


def unroll_compiled(
    inputs: EpisodeInputs,
    batch_sizes: Sequence[int],
    parameters: Parameters,
    reference: Callable[[], Tensor],
) -> Tensor:
    """Utilities [P, N, A], or hidden states [P, N, h] if the head is empty.

    Args:
        inputs: Of P packed entries.
        batch_sizes: [T] entries per step.
        parameters: See `Parameters`; they must suit, see `suits`.
        reference: Computes the same from the same parameters by torch, for second derivatives.
    """
    entries, n = inputs.last_actions.shape
    arrays = (
        inputs.observations.contiguous().view(entries * n, -1).numpy(),
        inputs.last_actions.contiguous().view(-1).numpy(),
        np.asarray(batch_sizes, np.int64) * n,
        *_sizes(inputs.layout),
    )
    if torch.is_grad_enabled() and any(p.requires_grad for p in parameters):
        # torch leaves `apply` untyped
        result: Tensor = _Unroll.apply(arrays, reference, *parameters)  # type: ignore[no-untyped-call]
    else:
        result = _forward(arrays, parameters, keep=False)[0]
    return result.view(entries, n, -1)


def _sizes(layout: InputLayout) -> tuple[int, int]:
    """How many columns of the inputs are one-hot last actions, and ids."""
    return layout.n_actions * layout.last_action, layout.n_agents * layout.agent_id


def _forward(arrays: tuple[Any, ...], parameters: Parameters, keep: bool) -> tuple[Tensor, Any]:
    """The result [M, A] or [M, h], and what the gradient needs."""
    observations, _, rows, *_ = arrays
    m, alive = len(observations), int(rows[0])
    kept = m if keep else min(m, max(BLOCK, alive))
    size, n_actions = parameters[5].shape[1], len(parameters[8])
    norm = kept if len(parameters[2]) else 0
    shapes = [
        (kept, size),
        (norm, size),
        (norm,),
        (kept, 3 * size),
        (kept, size),
        (alive + m, size),
    ]
    buffers = [torch.empty(shape) for shape in shapes]
    utilities = torch.empty(m, n_actions)
    weights = [p.detach().contiguous().numpy() for p in parameters]
    with blas_threads(torch.get_num_threads()):
        kernels("recurrent").forward(
            *arrays, *weights, BLOCK, *(b.numpy() for b in buffers), utilities.numpy()
        )
    return (utilities if n_actions else buffers[-1][alive:]), buffers


class _Unroll(torch.autograd.Function):
    """`unroll_compiled` for rows, with its gradient. Every call owns its buffers."""

    @staticmethod
    def forward(
        ctx: Any, arrays: tuple[Any, ...], reference: Callable[[], Tensor], *parameters: Tensor
    ) -> Tensor:
        result, buffers = _forward(arrays, parameters, keep=True)
        ctx.arrays, ctx.reference, ctx.buffers = arrays, reference, buffers
        ctx.save_for_backward(*parameters)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        parameters = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative: only torch's form has it
            wanted = ctx.needs_input_grad[2:]
            sources = [p for p, want in zip(parameters, wanted, strict=True) if want]
            result = ctx.reference().view_as(grad)
            found = iter(torch.autograd.grad(result, sources, grad, create_graph=True))
            return None, None, *(next(found) if want else None for want in wanted)
        encoder, _, norm, _, ih, hh, _, _, head, _ = (p.detach().contiguous() for p in parameters)
        grads = [torch.zeros_like(p, memory_format=torch.contiguous_format) for p in parameters]
        none = grad.new_empty(0, 0)
        given = (grad.contiguous(), none) if len(head) else (none, grad.contiguous())
        tensors = (*(p.numpy() for p in (encoder, norm, ih, hh, head)), BLOCK)
        with blas_threads(torch.get_num_threads()):
            kernels("recurrent").backward(
                *(g.numpy() for g in given),
                *ctx.arrays,
                *tensors,
                *(b.numpy() for b in ctx.buffers),
                *(g.numpy() for g in grads),
            )
        return None, None, *grads
