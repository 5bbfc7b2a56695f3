"""Mixers as one compiled call, and their gradient as another, in each thread."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from rllib_qatten.compiled.compiler import kernels, one_blas_thread
from rllib_qatten.hardware.threads import in_threads, threads_for
from rllib_qatten.mixers.layers import Hypernet

Network = tuple[Tensor, Tensor, Tensor, Tensor]
"""Weight and bias of a network's first of two layers (empty if it has one), and of its last."""


class Mixing(Protocol):
    """One mixing of M rows: its compiled functions, with what the gradient needs of the forward."""

    def forward(self, utilities: Tensor, features: Tensor, weights: Sequence[Tensor]) -> Any:
        """Q_tot [M] and the regularizer."""

    def backward(
        self,
        grads: Sequence[Tensor],
        utilities: Tensor,
        features: Tensor,
        weights: Sequence[Tensor],
        features_too: bool,
    ) -> Sequence[Tensor | None]:
        """Gradients of utilities, features (if wanted) and weights, given those of the results."""


def suits(name: str, state: Tensor, tensors: Sequence[Tensor]) -> bool:
    """Whether a mixer's compiled functions can take these: plain float32 on a CPU.

    Args:
        name: The module of `rllib_qatten.compiled`.
        state: Which must not need a gradient.
        tensors: All others.
    """
    if state.requires_grad or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return False
    if not all(t.dtype == torch.float32 and t.device.type == "cpu" for t in (state, *tensors)):
        return False
    return kernels(name) is not None


def network(net: Hypernet | None, state: Tensor) -> Network:
    """A network's parameters; for None, those of one without outputs."""
    none, empty = state.new_empty(0), state.new_empty(0, state.shape[-1])
    if net is None:
        return empty, none, empty, none
    first, last = net.first, net.last
    if last is None:
        return empty, none, first.weight, none if first.bias is None else first.bias
    return first.weight, first.bias, last.weight, none if last.bias is None else last.bias


class SharedMixing:
    """The mixings of M rows shared out to threads, as one; see `Mixing`."""

    def __init__(self, rows: int, n_agents: int, of_part: Callable[[slice], Mixing]) -> None:
        """For M rows of N agents; `of_part` makes the mixing of those of a thread."""
        number = max(1, min(rows, threads_for(rows * n_agents)))
        ends = [rows * k // number for k in range(number + 1)]
        self._parts = [slice(*pair) for pair in itertools.pairwise(ends)]
        self._mixings = [of_part(part) for part in self._parts]

    def forward(self, utilities: Tensor, features: Tensor, weights: Sequence[Tensor]) -> Any:
        """See `Mixing`."""

        def of_part(mixing: Mixing, part: slice) -> Any:
            return mixing.forward(utilities[part], features[part], weights)

        q_tots, regularizers = zip(*in_threads(of_part, self._mixings, self._parts), strict=True)
        return _whole(q_tots), sum(regularizers[1:], regularizers[0])

    def backward(
        self,
        grads: Sequence[Tensor],
        utilities: Tensor,
        features: Tensor,
        weights: Sequence[Tensor],
        features_too: bool,
    ) -> Sequence[Tensor | None]:
        """See `Mixing`."""
        of_q_tot, of_regularizer = grads

        def of_part(mixing: Mixing, part: slice) -> Any:
            given = of_q_tot[part], of_regularizer
            return mixing.backward(given, utilities[part], features[part], weights, features_too)

        found = in_threads(of_part, self._mixings, self._parts)
        of_utilities, of_features, *of_weights = zip(*found, strict=True)
        return [
            _whole(of_utilities),
            _whole(of_features) if features_too else None,
            *(sum(of_one[1:], of_one[0]) for of_one in of_weights),
        ]

    def of_rows(self, name: str) -> Tensor:
        """An attribute of the mixings, whose first axis is rows, of all of them."""
        return _whole([getattr(mixing, name) for mixing in self._mixings])


def _whole(of_parts: Sequence[Tensor]) -> Tensor:
    return of_parts[0] if len(of_parts) == 1 else torch.cat(list(of_parts))


def run(
    mixing: Mixing,
    reference: Callable[[Tensor, Tensor], Sequence[Tensor]],
    utilities: Tensor,
    features: Tensor,
    weights: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """Q_tot [M] and the regularizer.

    Args:
        mixing: What computes them.
        reference: Computes them by torch from utilities, features and the very same weights, for
            second derivatives.
        utilities: [M, N].
        features: [M, N, U'], or anything with M rows if the mixer has none.
        weights: The parameters, in the compiled functions' order.
    """
    tensors = utilities, features, *weights
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        # torch leaves `apply` untyped
        result: Any = _Mixing.apply(mixing, reference, *tensors)  # type: ignore[no-untyped-call]
    else:
        result = _held(mixing.forward, utilities, features, weights)
    return result[0], result[1]


def _held(function: Callable[..., Any], *arguments: Any) -> Any:
    with one_blas_thread():
        return function(*arguments)


class _Mixing(torch.autograd.Function):
    """`run` with its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        mixing: Mixing,
        reference: Callable[[Tensor, Tensor], Sequence[Tensor]],
        utilities: Tensor,
        features: Tensor,
        *weights: Tensor,
    ) -> Any:
        ctx.mixing, ctx.reference = mixing, reference
        ctx.save_for_backward(utilities, features, *weights)
        return _held(mixing.forward, utilities, features, weights)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[2:]
        utilities, features, *weights = tensors = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative: only torch's form has it
            # Features may be made of utilities: as views, neither is on the other's path.
            utilities, features = utilities.view_as(utilities), features.view_as(features)
            tensors = utilities, features, *weights
            sources = [t for t, want in zip(tensors, wanted, strict=True) if want]
            computed = zip(ctx.reference(utilities, features), grads, strict=True)
            pairs = [(result, grad) for result, grad in computed if result.requires_grad]
            results, given = zip(*pairs, strict=True)
            more = {"create_graph": True, "allow_unused": True}
            found = iter(torch.autograd.grad(results, sources, given, **more))
            return None, None, *(next(found) if want else None for want in wanted)
        return (
            None,
            None,
            *_held(ctx.mixing.backward, grads, utilities, features, weights, wanted[1]),
        )


def arrays(tensors: Sequence[Tensor]) -> list[Any]:
    """The tensors as compiled functions take them."""
    return [t.detach().contiguous().numpy() for t in tensors]


def zeros(tensors: Sequence[Tensor]) -> list[Tensor]:
    """A gradient to add to, for each."""
    return [torch.zeros_like(t, memory_format=torch.contiguous_format) for t in tensors]
