"""The network of an entity agent for one kind of units, over their rows."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from rllib_qatten.agents.entities import Rows
from rllib_qatten.agents.seen_rows import SeenRows, seen, summed, valued
from rllib_qatten.fast_linear import Linear

#: Units of some inputs: their seen rows, or u [..., R, h] of all rows.
Units = SeenRows | Tensor


class UnitNetwork(nn.Module):
    """From a unit's row x to u = relu(W x + b), which is summed, and compared with a query.

    There are two ways to the same numbers. On a CPU only the rows of seen units are processed, see
    `seen_rows`; elsewhere, and in exported graphs, all rows, and what is not seen is set to zero.

    Letters as in `Agent`; R rows.

    Attributes:
        embed: From a row to u [h].
        query: From a hidden state to the query [h]; None if no action concerns these units.
    """

    def __init__(self, part: Rows, concerned: bool, chosen: bool, hidden_size: int) -> None:
        """Builds the layers.

        Args:
            part: Where the rows are.
            concerned: Whether there are actions that concern these units.
            chosen: Whether a row tells whether the agent's last action concerned its unit.
            hidden_size: h.
        """
        super().__init__()
        self._part = part
        self.embed = Linear(part.used + chosen, hidden_size)
        self.query = Linear(hidden_size, hidden_size) if concerned else None

    def read(self, inputs: Tensor, chosen: Tensor | None) -> Units:
        """The units of inputs [..., I]; `chosen` [..., R] tells whom the last action concerned."""
        part, skip = self._part, self._part.skip
        shape = (*inputs.shape[:-1], part.count, part.size)
        rows = inputs[..., part.start : part.stop].reshape(shape)
        general = inputs.device.type != "cpu" or torch.is_autocast_enabled("cpu")
        if not general and not torch.compiler.is_compiling():
            return seen(rows.flatten(0, -3), skip, chosen)
        there = (rows != 0).any(-1, keepdim=True).to(rows.dtype)
        parts = [rows] if skip is None else [rows[..., : skip[0]], rows[..., skip[1] :]]
        if chosen is not None:
            parts.append(chosen.unsqueeze(-1))
        return cast(Tensor, torch.relu(self.embed(torch.cat(parts, -1))) * there)

    def summed(self, units: Units) -> Tensor:
        """The sums of u, [..., h], or [M, h] over all agents in a row."""
        if isinstance(units, SeenRows):
            return summed(units, self.embed.weight, self.embed.bias)
        return units.sum(-2)

    def valued(self, hidden: Tensor, units: Units) -> Tensor | None:
        """The products of u and query [..., R], 0 where no unit is seen; None without a query."""
        if self.query is None:
            return None
        query: Tensor = self.query(hidden)
        if isinstance(units, SeenRows):
            of_units = valued(units, query.flatten(0, -2), self.embed.weight, self.embed.bias)
            return of_units.view(*hidden.shape[:-1], -1)
        return (units * query.unsqueeze(-2)).sum(-1)
