"""QMIX's mixer by its compiled functions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rllib_qatten.compiled.compiler import kernels
from rllib_qatten.mixers.compiled import arrays, zeros


class QMIXing:
    """See `rllib_qatten.mixers.compiled.Mixing`; weights are four networks', see the function.

    Attributes:
        state_value: [M], V, once `forward` has run.
    """

    state_value: Tensor

    def __init__(self, state: Tensor) -> None:
        """For rows of this state [M, S]."""
        self._state = arrays([state])[0]

    def forward(
        self, utilities: Tensor, features: Tensor, weights: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Q_tot [M]; there is no regularizer."""
        m = len(utilities)
        firsts, lasts = weights[0::4], weights[2::4]
        widths = [len(first) for first in firsts]  # 0 where there is one layer
        hidden = [torch.empty(m if width else 0, width) for width in widths]
        # W_1, w_2, what is mixed (it begins as b_1), V.
        sizes = [len(lasts[i]) for i in (0, 2, 1, 3)]
        self._kept = [*hidden, *(torch.empty(m, size) for size in sizes)]
        self.state_value, q_tot = torch.empty(m), torch.empty(m)
        kernels("qmix").forward(
            *arrays([utilities]),
            self._state,
            *arrays(weights),
            *arrays([*self._kept, self.state_value, q_tot]),
        )
        return q_tot, q_tot.new_zeros(())

    def backward(
        self,
        grads: Sequence[Tensor],
        utilities: Tensor,
        features: Tensor,
        weights: Sequence[Tensor],
        features_too: bool,
    ) -> Sequence[Tensor | None]:
        """See `Mixing`."""
        found = [torch.empty_like(utilities), *zeros(weights)]
        kernels("qmix").backward(
            *arrays([grads[0], utilities]),
            self._state,
            *arrays([*weights, *self._kept]),
            *arrays(found),
        )
        return [found[0], None, *found[1:]]
