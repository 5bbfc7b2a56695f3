"""A small network over the rows of seen units: sums per agent, and values per unit.

Of a row x it makes u = relu(W x + b). Many rows are zeros, of units dead or out of sight, and are
skipped. Rows are processed in blocks whose u stays in the processor's cache and is computed again
for the gradient, since reading it back from memory would take longer.

Letters: M agents in all entries, R rows of an agent, K seen rows of all agents, F numbers in a row,
e width of u.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

#: About this many rows make a block.
BLOCK = 2048


class SeenRows(NamedTuple):
    """The rows of seen units, agent by agent.

    Attributes:
        rows: [K, F].
        owners: [K] int64, whose rows they are.
        places: [K] int64, a row's index among all M R rows.
        starts: [M + 1] int64, where each agent's rows start, and K.
        blocks: Of each block the first and last agent, then the first and last row.
        shape: M and R.
    """

    rows: Tensor
    owners: Tensor
    places: Tensor
    starts: Tensor
    blocks: Sequence[tuple[int, int, int, int]]
    shape: tuple[int, int]


def seen(rows: Tensor, skip: tuple[int, int] | None, chosen: Tensor | None) -> SeenRows:
    """Finds the rows that are not zero.

    Args:
        rows: [M, R, F'].
        skip: The numbers of a row that are left out.
        chosen: [M, R], a number that is added to each row; or None.
    """
    m, r, size = rows.shape
    # Several times as fast as `any`; a NaN counts as seen.
    there = (rows.abs() @ rows.new_ones(size)) != 0
    places = there.flatten().nonzero().squeeze(1)
    owners = places // max(r, 1)
    found = rows[owners, places - owners * r]
    parts = [found] if skip is None else [found[:, : skip[0]], found[:, skip[1] :]]
    if chosen is not None:
        parts.append(chosen.flatten().index_select(0, places).unsqueeze(1))
    starts = torch.cat([places.new_zeros(1), there.sum(1).cumsum(0)])
    step = max(1, BLOCK * m // max(len(places), 1))
    edges = [*range(0, m, step), m]
    limits = starts[edges].tolist()
    blocks = list(zip(edges, edges[1:], limits, limits[1:], strict=False))
    x = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
    return SeenRows(x, owners, places, starts, blocks, (m, r))


def summed(units: SeenRows, weight: Tensor, bias: Tensor) -> Tensor:
    """[M, e] the sum of each agent's u.

    Args:
        units: The rows.
        weight: W [e, F].
        bias: b [e].
    """
    # torch leaves `apply` untyped
    result: Tensor = _Summed.apply(units, weight, bias)  # type: ignore[no-untyped-call]
    return result


def valued(units: SeenRows, query: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """[M, R] the product of each unit's u with its agent's query; 0 where no unit is seen.

    Args:
        units: The rows.
        query: [M, e].
        weight: W [e, F].
        bias: b [e].
    """
    result: Tensor = _Valued.apply(units, query, weight, bias)  # type: ignore[no-untyped-call]
    return result


def _embedded(units: SeenRows, weight: Tensor, bias: Tensor) -> Iterator[Any]:
    """Block by block: its agents, its rows, and their u."""
    columns = weight.T.contiguous()
    for first, last, start, stop in units.blocks:
        u = torch.addmm(bias, units.rows[start:stop], columns).relu_()
        yield slice(first, last), slice(start, stop), u


class _Summed(torch.autograd.Function):
    """`summed`; rows are data and get no gradient."""

    @staticmethod
    def forward(ctx: Any, units: SeenRows, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.units = units
        ctx.save_for_backward(weight, bias)
        sums = weight.new_zeros(units.shape[0], len(weight))
        longest = max((stop - start for *_, start, stop in units.blocks), default=0)
        order = torch.arange(longest, device=weight.device)
        for agents, rows, u in _embedded(units, weight, bias):
            if len(u):
                # Bags of consecutive rows: the fastest of torch's sums over ragged groups.
                starts = units.starts[agents] - rows.start
                sums[agents] = F.embedding_bag(order[: len(u)], u, starts, mode="sum")
        return sums

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        units: SeenRows = ctx.units
        weight, bias = ctx.saved_tensors
        to_weight, to_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        for _, rows, u in _embedded(units, weight, bias):
            mine = torch.ops.aten.threshold_backward(grad.index_select(0, units.owners[rows]), u, 0)
            to_weight.addmm_(mine.T, units.rows[rows])
            to_bias += mine.sum(0)
        return None, to_weight, to_bias


class _Valued(torch.autograd.Function):
    """`valued`; a loss takes at most one action of each agent, so most gradients are zero."""

    @staticmethod
    def forward(ctx: Any, units: SeenRows, query: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.units = units
        ctx.save_for_backward(query, weight, bias)
        m, r = units.shape
        values = query.new_empty(len(units.rows))
        for _, rows, u in _embedded(units, weight, bias):
            u *= query.index_select(0, units.owners[rows])
            torch.sum(u, -1, out=values[rows])
        return query.new_zeros(m * r).index_copy_(0, units.places, values).view(m, r)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        units: SeenRows = ctx.units
        query, weight, bias = ctx.saved_tensors
        of_rows = grad.flatten().index_select(0, units.places)
        wanted = of_rows.nonzero().squeeze(1)
        x, owners = units.rows.index_select(0, wanted), units.owners.index_select(0, wanted)
        d = of_rows.index_select(0, wanted).unsqueeze(1)
        u = torch.addmm(bias, x, weight.T).relu_()
        to_query = torch.zeros_like(query).index_add_(0, owners, u * d)
        mine = torch.ops.aten.threshold_backward(query.index_select(0, owners) * d, u, 0)
        return None, to_query, mine.T @ x, mine.sum(0)
