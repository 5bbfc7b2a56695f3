"""The network of an entity agent for one kind of units, over their rows."""

from __future__ import annotations

import torch
from torch import Tensor

from rllib_qatten.agents.entities import Rows
from rllib_qatten.hardware.fast_linear import Linear


def read_units(inputs: Tensor, part: Rows, chosen: Tensor | None) -> Tensor:
    """The units' rows [..., R, F + 1]; the last number tells whether the unit is seen.

    Args:
        inputs: [..., I].
        part: Where the rows are.
        chosen: [..., R] what a row is told about the last action, if anything.
    """
    rows = inputs[..., part.start : part.stop].reshape(*inputs.shape[:-1], part.count, part.size)
    there = (rows != 0).any(-1, keepdim=True).to(rows.dtype)
    parts = [rows] if part.skip is None else [rows[..., : part.skip[0]], rows[..., part.skip[1] :]]
    if chosen is not None:
        parts.append(chosen.unsqueeze(-1))
    return torch.cat([*parts, there], -1)


class UnitNetwork(Linear):
    """From a unit's row x to u = relu(W x + b), which is summed, and compared with a query.

    Letters as in `Agent`; R rows of F numbers, and one that tells whether the unit is seen.
    """

    def summed(self, rows: Tensor) -> Tensor:
        """The sums [..., h] of u over all units of rows [..., R, F + 1]."""
        return self._embedded(rows).sum(-2)

    def valued(self, query: Tensor, rows: Tensor) -> Tensor:
        """The products [..., R] of u and query [..., h]; 0 where no unit is seen."""
        return (self._embedded(rows) * query.unsqueeze(-2)).sum(-1)

    def _embedded(self, rows: Tensor) -> Tensor:
        return torch.relu(self(rows[..., :-1])) * rows[..., -1:]
