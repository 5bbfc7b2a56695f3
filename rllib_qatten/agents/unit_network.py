"""The network of an entity agent for one kind of units, over their rows."""

from __future__ import annotations

import torch
from torch import Tensor

from rllib_qatten.agents.entities import Rows
from rllib_qatten.agents.seen_rows import SeenRows, seen, summed, valued
from rllib_qatten.fast_linear import Linear

#: Rows of units: of those that are seen, or [..., R, F + 1] of all, of which the last number tells
#: whether the unit is seen.
Units = SeenRows | Tensor

#: Below this many rows it costs more to find those of seen units than to compute with all.
WORTH_A_SEARCH = 2048


def read_units(inputs: Tensor, part: Rows, chosen: Tensor | None) -> Units:
    """The units' rows in inputs [..., I].

    Of many rows on a CPU only those of seen units are read, see `seen_rows`; of few, elsewhere, in
    exported graphs, and if inputs need a gradient, all of them.

    Args:
        inputs: [..., I].
        part: Where the rows are.
        chosen: [..., R] what a row is told about the last action, if anything.
    """
    rows = inputs[..., part.start : part.stop].reshape(*inputs.shape[:-1], part.count, part.size)
    plain = inputs.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    plain &= not inputs.requires_grad and not torch.compiler.is_compiling()
    if plain and rows.shape[:-1].numel() >= WORTH_A_SEARCH:
        return seen(rows.flatten(0, -3), part.skip, chosen)
    there = (rows != 0).any(-1, keepdim=True).to(rows.dtype)
    parts = [rows] if part.skip is None else [rows[..., : part.skip[0]], rows[..., part.skip[1] :]]
    if chosen is not None:
        parts.append(chosen.unsqueeze(-1))
    return torch.cat([*parts, there], -1)


class UnitNetwork(Linear):
    """From a unit's row x to u = relu(W x + b), which is summed, and compared with a query.

    Letters as in `Agent`; R rows of F numbers.
    """

    def summed(self, units: Units) -> Tensor:
        """The sums of u over all units [..., h], or [M, h] with all agents in a row."""
        if isinstance(units, SeenRows):
            return summed(units, self.weight, self.bias)
        return self._embedded(units).sum(-2)

    def valued(self, query: Tensor, units: Units) -> Tensor:
        """The products [..., R] of u and query [..., h]; 0 where no unit is seen."""
        if isinstance(units, SeenRows):
            products = valued(units, query.flatten(0, -2), self.weight, self.bias)
            return products.view(*query.shape[:-1], -1)
        return (self._embedded(units) * query.unsqueeze(-2)).sum(-1)

    def _embedded(self, rows: Tensor) -> Tensor:
        return torch.relu(self(rows[..., :-1])) * rows[..., -1:]
