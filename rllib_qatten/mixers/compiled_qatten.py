"""Qatten's mixer by its compiled functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rllib_qatten.compiled.compiler import kernels
from rllib_qatten.mixers.compiled import arrays, zeros


class QattenMixing:
    """See `rllib_qatten.mixers.compiled.Mixing`; weights are in the order of the function.

    Attributes:
        attention: [M, H, N], once `forward` has run, as the following.
        logits: [M, H, N].
        values: [M, H].
        head_weights: [M, H] before their absolute values; [M, 0] if the mixer is without.
        state_value: [M]; zeros if the mixer is without.
    """

    attention: Tensor
    logits: Tensor
    values: Tensor
    head_weights: Tensor
    state_value: Tensor

    def __init__(
        self, state: Tensor, alive: Tensor | None, scale: float, counts: Tensor | None
    ) -> None:
        """For rows of a state.

        Args:
            state: [M, S].
            alive: [M, N], if attention is to go to the living only.
            scale: Of logits before the softmax.
            counts: [M] the factor of each row's squared logits in the regularizer; None without.
        """
        if alive is None:
            alive = torch.empty(0, 0, dtype=torch.bool)
        self._given: list[Any] = [*arrays([state]), *arrays([alive]), scale]
        self._counts = counts

    def forward(
        self, utilities: Tensor, features: Tensor, weights: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Q_tot [M] and the regularizer."""
        (m, n), (heads, width) = utilities.shape, (len(weights[2]), weights[2].shape[1])
        first_p, first_w, first_c = weights[0], weights[4], weights[8]
        hidden = [
            torch.empty(len(first_p), m, first_p.shape[1]),
            torch.empty(m if len(first_w) else 0, len(first_w)),
            torch.empty(m if len(first_c) else 0, len(first_c)),
        ]
        self.logits, self.attention = torch.empty(2, m, heads, n)
        self.values, self.head_weights = torch.empty(m, heads), torch.empty(m, len(weights[6]))
        mixed = [torch.empty(heads, m, width), self.logits, self.attention, self.values]
        self._kept = [*hidden, *mixed, self.head_weights, torch.empty(m, 1)]
        self.state_value, q_tot = torch.empty(m), torch.empty(m)
        state, alive, scale = self._given
        kernels("qatten").forward(
            *arrays([utilities]),
            state,
            *arrays([features]),
            alive,
            scale,
            *arrays(weights),
            *arrays([*self._kept, self.state_value, q_tot]),
        )
        return q_tot, self._regularizer(q_tot)

    def _regularizer(self, like: Tensor) -> Tensor:
        if self._counts is None:
            return like.new_zeros(())
        return self.logits.square().sum((1, 2)) @ self._counts

    def backward(
        self,
        grads: Sequence[Tensor],
        utilities: Tensor,
        features: Tensor,
        weights: Sequence[Tensor],
        features_too: bool,
    ) -> Sequence[Tensor | None]:
        """See `Mixing`."""
        grad, of_regularizer = grads
        squares = grad.new_empty(0)
        if self._counts is not None:
            squares = 2 * of_regularizer * self._counts
        shape = features.shape if features_too else (0, *features.shape[1:])
        found = [torch.empty_like(utilities), torch.empty(shape), *zeros(weights)]
        state, alive, scale = self._given
        kernels("qatten").backward(
            *arrays([grad, squares, utilities]),
            state,
            *arrays([features]),
            alive,
            scale,
            *arrays([*weights, *self._kept]),
            *arrays(found),
        )
        return [found[0], found[1] if features_too else None, *found[2:]]
