"""The entity agent by compiled functions: rows of seen units, then the recurrent agent on sums.

Letters as in `Agent`; M agents in all entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rllib_qatten.agents.compiled_recurrent import Parameters, Unrolling
from rllib_qatten.agents.distinct import Distinct, distinct
from rllib_qatten.agents.entities import Rows
from rllib_qatten.agents.entity_actions import EntityActions
from rllib_qatten.agents.relations import COUNTS, Relations
from rllib_qatten.compiled.compiler import kernels

#: Weight and bias of the networks of teammates and of enemies, before those of the recurrent agent.
UNITS = 4


class SeenRows(NamedTuple):
    """The rows of seen units of one kind, agent by agent.

    Attributes:
        rows: [K, F + 1], the last number is 1.
        owners: [K] whose rows they are.
        actions: [K] the action that concerns the unit, -1 if none does.
        places: [K] which of the L agents that observe anything the owner is.
    """

    rows: Any
    owners: Any
    actions: Any
    places: Any


class Seen(NamedTuple):
    """What observations say, for all networks of the same form.

    Attributes:
        agents: The different rows about the agents themselves: own parts [L, C], and last actions
            among those that concern nobody, -1 if it was none of them.
        helping: [M] whether the agent helps instead of attacking.
        teammates: Their rows.
        enemies: Their rows.
    """

    agents: Distinct
    helping: Any
    teammates: SeenRows
    enemies: SeenRows


def read(
    observations: Tensor,
    last_actions: Tensor,
    relations: Relations,
    actions: EntityActions,
    told: bool,
    agents: Any,
) -> Seen:
    """Finds the rows of seen units.

    Args:
        observations: [..., N, >= O] float32.
        last_actions: [..., N] int64, -1 where there is none.
        relations: Of the observation's entities.
        actions: Which action concerns which unit.
        told: Whether networks are told the last action.
        agents: [M] which of all rows are read.
    """
    m, every = len(agents), last_actions.numel()
    mine = slice(None) if m == every else agents
    last = last_actions.flatten().numpy()[mine]
    whole = observations.reshape(every, -1).contiguous().numpy()
    entities, related, tables = relations.entities, relations.related, actions.tables
    helping = np.zeros(m, bool)
    if entities.helper is not None:
        helping = whole[mine, entities.helper] > 0

    def kind(part: Rows, used: int, told: bool, concerning: Any) -> list[Any]:
        """What the compiled function is told of a kind of units, and what it writes to."""
        skip = part.skip or (part.size, part.size)
        named = -1 if part.aims is None else skip[0]
        position = part.position or (0, 0)
        how = np.array([part.start, part.count, part.size, *skip, *position, named, told])
        most = m * part.count
        rows = np.empty((most, used + told + 1), np.float32)
        return [how, concerning, rows, *np.empty((2, most), np.int64)]

    helps, attacks = told and entities.helps is not None, told and entities.attacks is not None
    teammates = kind(entities.teammates, related.teammates.used, helps, tables.of_teammates)
    enemies = kind(entities.enemies, related.enemies.used, attacks, tables.of_enemies)
    aims = *(entities.teammates.aims or (0, 1)), *(entities.enemies.aims or (0, 1))
    aimed = np.empty((m, related.own_size - entities.own_size), np.float32)
    n_teammates, n_enemies = kernels("reading").read(
        whole, agents, last, helping, relations.places, *aims, COUNTS, *teammates, *enemies, aimed,
    )  # fmt: skip
    own = np.concatenate([*(whole[mine, start:stop] for start, stop in entities.own), aimed], 1)
    units = np.zeros(m, bool)
    units[teammates[3][:n_teammates]] = units[enemies[3][:n_enemies]] = True
    plain = tables.plain[last], len(actions.plain) * told
    found = distinct(own, *plain, 0, np.arange(m), units)

    def seen(written: list[Any], count: int) -> SeenRows:
        rows, owners, of_units = (array[:count] for array in written[2:])
        return SeenRows(rows, owners, of_units, found.places[owners])

    return Seen(found, helping, seen(teammates, n_teammates), seen(enemies, n_enemies))


class UnitsUnrolling:
    """One pass of M rows through the entity agent, and back; see `differentiable`.

    Parameters are weight and bias of the units' networks, teammates' first, then those of
    `compiled_recurrent.Parameters`.
    """

    def __init__(
        self,
        seen: Seen,
        rows: Sequence[int],
        actions: EntityActions,
        before: Tensor | None = None,
    ) -> None:
        """For given inputs.

        Args:
            seen: What was read of them.
            rows: [T] agents per step.
            actions: Which action concerns which unit.
            before: See `Unrolling`.
        """
        self._seen, self._rows, self._actions = seen, np.asarray(rows, np.int64), actions
        self._before = before

    @property
    def after(self) -> Tensor:
        """See `Unrolling`."""
        return self._recurrent.after

    def forward(self, parameters: Parameters, keep: bool) -> Tensor:
        """Utilities [M, A], or hidden states [M, h] if the head is empty."""
        (weight, bias, *others), rest = parameters[:UNITS], list(parameters[UNITS:])
        own, width = self._seen.agents.observations.shape[1], 2 * len(weight)
        told = rest[0].shape[1] - own - width
        self._units = [_joined(weight, bias), _joined(*others)]
        rest[0] = _moved(rest[0].detach(), own, told)
        inputs = self._seen.agents._replace(observations=self._summed(keep))
        self._recurrent = Unrolling(inputs, self._rows, (told, 0), width, self._before)
        heads = self._recurrent.forward(rest, keep)
        self._heads = heads.numpy()
        return self._valued() if len(rest[8]) else heads

    def backward(self, grad: Tensor, parameters: Parameters) -> tuple[list[Tensor], None]:
        """Gradients of the parameters."""
        rest = list(parameters[UNITS:])
        own, width = self._seen.agents.observations.shape[1], 2 * len(parameters[0])
        units = [np.zeros_like(weight) for weight in self._units]
        if len(rest[8]):
            grad = self._valued_back(grad, units)
        rest[0] = _moved(rest[0].detach(), own, rest[0].shape[1] - own - width)
        of_rest, of_sums = self._recurrent.backward(grad, rest)
        for i, found in enumerate((self._seen.teammates, self._seen.enemies)):
            kernels("units").sums_back(
                of_sums.numpy(),
                i * width // 2,
                found.rows,
                found.places,
                self._positive[i],
                units[i],
            )
        of_rest[0] = _moved(of_rest[0], own, width)
        parts = (
            torch.from_numpy(part) for weight in units for part in (weight[:, :-1], weight[:, -1])
        )
        return [*parts, *of_rest], None

    def _summed(self, keep: bool) -> Any:
        """What enters the encoder, [L, C + 2h]: own parts, sums of teammates and of enemies."""
        own, size = self._seen.agents.observations, len(self._units[0])
        kinds = self._seen.teammates, self._seen.enemies
        self._positive = [np.empty((len(k.rows) if keep else 0, size), bool) for k in kinds]
        inputs = np.empty((len(own), own.shape[1] + 2 * size), np.float32)
        inputs[:, : own.shape[1]] = own
        for i, found in enumerate(kinds):
            kernels("units").sums(
                found.rows, found.places, self._units[i], own.shape[1] + i * size, inputs,
                self._positive[i],
            )  # fmt: skip
        return inputs

    def _valued(self) -> Tensor:
        """Utilities [M, A] of the head's outputs."""
        utilities = torch.empty(len(self._heads), self._actions.n_actions)
        columns, helping, result = (
            self._actions.tables.columns,
            self._seen.helping,
            utilities.numpy(),
        )
        kernels("units").lay_out(self._heads, self._values_at, columns, helping, result)
        for i, found, query in self._queries():
            kernels("units").values(
                found.rows, found.owners, self._units[i], found.actions, self._heads, query, result
            )
        return utilities

    def _valued_back(self, grad: Tensor, units: Sequence[Any]) -> Tensor:
        """The gradient of the heads; adds those of the units' networks."""
        of_heads, given = torch.zeros(self._heads.shape), grad.contiguous().numpy()
        columns, helping, result = (
            self._actions.tables.columns,
            self._seen.helping,
            of_heads.numpy(),
        )
        kernels("units").lay_out_back(given, self._values_at, columns, helping, result)
        for i, found, query in self._queries():
            kernels("units").values_back(
                given, found.rows, found.owners, self._units[i], found.actions, self._heads, query,
                result, units[i],
            )  # fmt: skip
        return of_heads

    def _queries(self) -> list[tuple[int, SeenRows, int]]:
        """Of the units that actions concern: their kind, their rows, where the head's query is."""
        kinds = [(1, self._seen.enemies)] * self._actions.attacks
        kinds += [(0, self._seen.teammates)] * self._actions.helps
        size = len(self._units[0])
        return [(kind, found, place * size) for place, (kind, found) in enumerate(kinds)]

    @property
    def _values_at(self) -> int:
        """Where the head's outputs are values, behind the queries."""
        return len(self._units[0]) * (self._actions.attacks + self._actions.helps)


def _joined(weight: Tensor, bias: Tensor) -> Any:
    """[h, F + 1] a network's weight with its bias, which a 1 is multiplied by."""
    return torch.cat([weight.detach(), bias.detach().unsqueeze(1)], 1).numpy()


def _moved(weight: Tensor, start: int, columns: int) -> Tensor:
    """The weight with so many columns from `start` on moved to its end."""
    end = start + columns
    return torch.cat([weight[:, :start], weight[:, end:], weight[:, start:end]], 1)
