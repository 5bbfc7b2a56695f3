"""What follows from rows of units taken together: how far each is, and how many aim at whom.

A row that names the unit it aims at by a number is of no use to a network that sees a set: numbers
are places, and a set has none. How many aim at a unit is said in that unit's own row instead, so
that a team can join its fire, or draw it.

Letters as in `Agent`; N' agents share a network, R rows of teammates, E rows of enemies.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from rllib_qatten.agents.entities import Entities, Rows

#: What a unit that aims at another counts: with it, numbers are about as large as the others.
COUNTS = 0.5


class Relations(nn.Module):
    """Writes relations between units into observations, as `Entities.related` lays them out.

    Attributes:
        entities: How observations are made without them.
        related: How with them.
        places: [N'] the agents' indices in the team.
    """

    _place: Tensor
    _team: Tensor

    def __init__(self, entities: Entities, places: Sequence[int]) -> None:
        """Computes the indices.

        Args:
            entities: How an observation is made.
            places: [N'] the agents' indices in the team.
        """
        super().__init__()
        self.entities, self.related = entities, entities.related
        self.places = np.asarray(places, np.int64)
        place, rows = (
            torch.tensor(list(places)).unsqueeze(1),
            torch.arange(entities.teammates.count),
        )
        self.register_buffer("_place", place, persistent=False)  # [N', 1]
        # [N', R] the agent of the team in each row.
        self.register_buffer("_team", rows + (rows >= place).long(), persistent=False)

    def forward(self, observations: Tensor) -> Tensor:
        """Observations [..., N', >= O] as `Entities.related` says; rows of unseen units stay 0."""
        entities = self.entities
        if self.related is entities:
            return observations
        of_teammates, teammates = self._rows(observations, entities.teammates)
        of_enemies, enemies = self._rows(observations, entities.enemies)
        own = [observations[..., start:stop] for start, stop in entities.own]
        if entities.teammates.aims is not None:
            aims = _aims(teammates, entities.teammates, entities.enemies.count)
            of_enemies.append(_counted(aims, entities.enemies.count).unsqueeze(-1))
        if entities.enemies.aims is not None:
            n = entities.teammates.count + 1
            aims = _aims(enemies, entities.enemies, n)
            counted = _counted(aims, n)
            of_enemies.append((aims == self._place).unsqueeze(-1).to(enemies.dtype))
            team = self._team.expand(*counted.shape[:-1], -1)
            of_teammates.append(counted.gather(-1, team).unsqueeze(-1))
            own.append(counted.gather(-1, self._place.expand(*counted.shape[:-1], 1)))
        parts = [
            (torch.cat(columns, -1) * (rows != 0).any(-1, keepdim=True)).flatten(-2)
            for columns, rows in ((of_teammates, teammates), (of_enemies, enemies))
        ]
        return torch.cat([*parts, *own], -1)

    @staticmethod
    def _rows(observations: Tensor, part: Rows) -> tuple[list[Tensor], Tensor]:
        """The columns that rows consist of, and rows [..., R, F] as observed."""
        rows = observations[..., part.start : part.stop]
        rows = rows.reshape(*observations.shape[:-1], part.count, part.size)
        if part.position is None:
            return [rows], rows
        start, stop = part.position
        return [rows, rows[..., start:stop].norm(dim=-1, keepdim=True)], rows


def _aims(rows: Tensor, part: Rows, others: int) -> Tensor:
    """[..., R] which of the others each unit aims at; their number if at none.

    Args:
        rows: [..., R, F].
        part: What is in the rows.
        others: How many units are on the other side.
    """
    assert part.skip is not None
    assert part.aims is not None
    first, step = part.aims
    told = ((rows[..., part.skip[0]] - first) / step).round().long()
    aims = (told >= 0) & (told < others) & (rows != 0).any(-1)
    return torch.where(aims, told, others)


def _counted(aims: Tensor, others: int) -> Tensor:
    """[..., others] how many units aim at each of the others."""
    counts = torch.zeros(*aims.shape[:-1], others + 1, device=aims.device)
    ones = torch.full_like(aims, COUNTS, dtype=counts.dtype)
    return counts.scatter_add(-1, aims, ones)[..., :others]
