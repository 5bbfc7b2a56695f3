"""The recurrent agent over whole episodes as one compiled call, and its gradient as another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rllib_qatten.agents.distinct import Distinct, distinct
from rllib_qatten.agents.inputs import EpisodeInputs
from rllib_qatten.agents.shares import joined, key_of, shares
from rllib_qatten.compiled.compiler import kernels, one_blas_thread
from rllib_qatten.hardware.threads import in_threads

#: Rows of a block: with all that is computed for them, they fit the processor's cache.
BLOCK = 512

Parameters = Sequence[Tensor]
"""Weight and bias of encoder, layer norm (both empty if there is none), GRU and head (likewise)."""


def suits(name: str, observations: Tensor, parameters: Parameters) -> bool:
    """Whether compiled functions can take these: plain float32 on a CPU.

    Args:
        name: The module of `rllib_qatten.compiled`.
        observations: Which must not need a gradient.
        parameters: All others.
    """
    if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return False
    if observations.requires_grad:
        return False
    tensors = (observations, *parameters)
    if any(t.dtype != torch.float32 or t.device.type != "cpu" for t in tensors):
        return False
    return kernels(name) is not None


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
    (entries, n), layout = inputs.last_actions.shape, inputs.layout
    one_hot = layout.n_actions * layout.last_action, layout.n_agents * layout.agent_id
    given = shares(batch_sizes, n)

    def read() -> list[Distinct]:
        observations = inputs.observations.contiguous().view(entries * n, -1).numpy()
        last = inputs.known_actions.view(-1).numpy()
        return in_threads(lambda share: distinct(observations, last, *one_hot, share.rows), given)

    found = inputs.once((Distinct, key_of(given)), read)
    each = [Unrolling(one, share.steps, one_hot) for one, share in zip(found, given, strict=True)]
    return differentiable(joined(each, given), parameters, reference).view(entries, n, -1)


class Unrolling:
    """One pass of M rows through encoder, GRU and head, and back."""

    def __init__(
        self,
        inputs: Distinct,
        rows: Any,
        one_hot: tuple[int, int],
        made: int = 0,
        before: Tensor | None = None,
    ) -> None:
        """For given inputs.

        Args:
            inputs: The different rows.
            rows: [T] rows per step.
            one_hot: How many columns of the inputs are one-hot last actions, and how many are ids.
            made: How many of the observations' last columns need a gradient.
            before: [rows[0], h] the hidden states to begin with, if they are not zeros; there is no
                gradient then.
        """
        self._inputs, self._rows, self._one_hot = inputs, rows, one_hot
        self._made, self._before = made, before
        self._kept: list[Any] = []
        self._kept_unseen: list[Any] = []

    @property
    def after(self) -> Tensor:
        """[M, h] the hidden states after each row, once `forward` has run."""
        return torch.from_numpy(self._kept[-1][self._rows[0] :])

    def forward(self, parameters: Parameters, keep: bool) -> Tensor:
        """The result [M, A] or [M, h]; `keep` for `backward`."""
        m, alive = len(self._inputs.places), int(self._rows[0])
        kept = m if keep else min(m, max(BLOCK, alive))
        encoded = min(kept, len(self._inputs.last))
        size, n_actions = parameters[5].shape[1], len(parameters[8])
        norm = encoded if len(parameters[2]) else 0
        shapes = [
            (encoded, size),
            (norm, size),
            (norm,),
            (kept, 3 * size),
            (kept, size),
            (alive + m, size),
        ]
        buffers = [torch.empty(shape) for shape in shapes]
        buffers[-1][:alive] = 0 if self._before is None else self._before
        utilities = torch.empty(m, n_actions)
        self._kept = [b.numpy() for b in buffers]
        weights = [p.detach().contiguous().numpy() for p in parameters]
        kernels("recurrent").forward(
            *self._inputs[:4],
            self._rows,
            *self._one_hot,
            self._encode_unseen(weights),
            *weights,
            BLOCK,
            keep,
            *self._kept,
            self._before is not None,
            utilities.numpy(),
        )
        return utilities if n_actions else buffers[-1][alive:]

    def _encode_unseen(self, weights: Sequence[Any]) -> Any:
        """[D - L, 3h] what enters the gates of rows without an observation."""
        s, size = len(self._inputs.unseen_last), len(weights[0])
        norm = s if len(weights[2]) else 0
        shapes = (s, size), (norm, size), (norm,), (s, 3 * size)
        *self._kept_unseen, gates = (np.empty(shape, np.float32) for shape in shapes)
        if s:
            kernels("recurrent").encode_unseen(
                *self._inputs[4:], *self._one_hot, *weights[:5], *self._kept_unseen, gates
            )
        return gates

    def backward(self, grad: Tensor, parameters: Parameters) -> tuple[list[Tensor], Tensor]:
        """Gradients of the parameters, and of the L observations' last columns."""
        encoder, _, norm, _, ih, hh, _, _, head, _ = (p.detach().contiguous() for p in parameters)
        grads = [torch.zeros_like(p, memory_format=torch.contiguous_format) for p in parameters]
        none = grad.new_empty(0, 0)
        given = (grad.contiguous(), none) if len(head) else (none, grad.contiguous())
        of_observations = torch.empty(len(self._inputs.observations), self._made)
        of_unseen = np.zeros((len(self._inputs.unseen_last), len(ih)), np.float32)
        arrays = [g.numpy() for g in grads]
        kernels("recurrent").backward(
            *(g.numpy() for g in given),
            *self._inputs[:4],
            self._rows,
            *self._one_hot,
            *(p.numpy() for p in (encoder, norm, ih, hh, head)),
            BLOCK,
            *self._kept,
            of_unseen,
            of_observations.numpy(),
            *arrays,
        )
        if len(of_unseen):
            kernels("recurrent").unseen_back(
                of_unseen, *self._inputs[4:], *self._one_hot, norm.numpy(), ih.numpy(),
                *self._kept_unseen, *arrays[:5], arrays[6],
            )  # fmt: skip
        return grads, of_observations


def differentiable(
    unrolling: Any, parameters: Parameters, reference: Callable[[], Tensor]
) -> Tensor:
    """The result of an unrolling, with its gradient if that is wanted.

    Args:
        unrolling: Has a `forward` as `Unrolling`, and a `backward` whose first result is the
            parameters' gradients.
        parameters: See there.
        reference: See `unroll_compiled`.
    """
    if torch.is_grad_enabled() and any(p.requires_grad for p in parameters):
        # torch leaves `apply` untyped
        result: Tensor = _Unroll.apply(unrolling, reference, *parameters)  # type: ignore[no-untyped-call]
        return result
    return computed(unrolling, parameters)


def computed(unrolling: Any, parameters: Parameters) -> Tensor:
    """The result of an unrolling without a gradient."""
    with one_blas_thread():
        result: Tensor = unrolling.forward(parameters, keep=False)
    return result


class _Unroll(torch.autograd.Function):
    """`differentiable`. Every call owns its unrolling."""

    @staticmethod
    def forward(
        ctx: Any, unrolling: Any, reference: Callable[[], Tensor], *parameters: Tensor
    ) -> Tensor:
        ctx.unrolling, ctx.reference = unrolling, reference
        ctx.save_for_backward(*parameters)
        with one_blas_thread():
            result: Tensor = unrolling.forward(parameters, keep=True)
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
        with one_blas_thread():
            grads, _ = ctx.unrolling.backward(grad, parameters)
        return None, None, *grads
