"""The entity agent: it sees units as sets, and values an action by the unit that it concerns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rllib_qatten.agents.base import Agent, normalized
from rllib_qatten.agents.entities import Entities, Rows
from rllib_qatten.agents.packed_gru import packed_gru
from rllib_qatten.agents.seen_rows import SeenRows, seen, summed, valued
from rllib_qatten.fast_linear import Linear


class UnitNetwork(nn.Module):
    """Linear, ReLU over the rows of one kind of units, and queries to them.

    Attributes:
        part: Where their rows are.
        embed: From a row to u [h].
        query: From a hidden state to what it asks of a unit; None if no action concerns one.
    """

    def __init__(self, part: Rows, concerned: bool, chosen: bool, hidden_size: int) -> None:
        """Builds the layers.

        Args:
            part: Where the rows are.
            concerned: Whether there are actions that concern these units.
            chosen: Whether rows tell that the agent's last action concerned their unit.
            hidden_size: h.
        """
        super().__init__()
        self.part = part
        self.embed = Linear(part.used + chosen, hidden_size)
        self.query = Linear(hidden_size, hidden_size) if concerned else None

    def rows(self, inputs: Tensor) -> Tensor:
        """[..., R, F] all rows of inputs [..., I]."""
        part = self.part
        return inputs[..., part.start : part.stop].unflatten(-1, (part.count, part.size))

    def seen(self, inputs: Tensor, chosen: Tensor | None) -> SeenRows:
        """The seen rows of inputs [..., I]; `chosen` is [..., R]."""
        rows = self.rows(inputs).flatten(0, -3)
        return seen(rows, self.part.skip, chosen)

    def embedded(self, inputs: Tensor, chosen: Tensor | None) -> Tensor:
        """u [..., R, h] of all rows, 0 where no unit is seen."""
        rows = self.rows(inputs)
        there = (rows != 0).any(-1, keepdim=True).to(rows.dtype)
        skip = self.part.skip
        parts = [rows] if skip is None else [rows[..., : skip[0]], rows[..., skip[1] :]]
        if chosen is not None:
            parts.append(chosen.unsqueeze(-1))
        x = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        return torch.relu(self.embed(x)) * there


class EntityAgent(Agent):
    """Sums over units, GRU, and a value of each unit: permuting units permutes these values alone.

    A teammate's row x becomes u = relu(W x + b), an enemy's likewise by another W. The encoder adds
    a linear map of all u's sums to one of the agent's own part, followed by ReLU and GRU. Actions
    that concern nobody are valued by the head, one that concerns a unit by <q, u> + v, where q
    and v are linear in the hidden state: the weights of that action's head are made of the unit, as
    in the hyper policy network of Hao et al. (ICLR 2023), and it is the same u that is summed, as in
    deep sets (Zaheer et al. 2017).

    Of the agent's last action, the part that concerns a unit is in that unit's row. Ids of agents are
    no input. So nothing depends on how many units there are.

    Every row of its inputs is a separate agent. Letters as in `Agent`; R is a number of rows.
    """

    agent_id = False
    needs_entities = True

    def __init__(
        self,
        input_size: int,
        n_actions: int,
        hidden_size: int = 64,
        layer_norm: bool = False,
        *,
        entities: Entities,
        places: Sequence[int] = (0,),
    ) -> None:
        """Builds the network.

        Args:
            input_size: I, of an observation or of one with the last action.
            n_actions: A.
            hidden_size: h, of the units' u, of the encoder's output and of the GRU.
            layer_norm: Whether the encoder's output is normalized before its ReLU.
            entities: How an observation is made.
            places: The agents' indices in the team, needed if actions concern teammates.

        Raises:
            ValueError: If the sizes do not fit.
        """
        super().__init__(input_size, hidden_size)
        observation = entities.own_size + sum(
            part.count * part.size for part in (entities.teammates, entities.enemies)
        )
        self.entities, self._observation, self._n_actions = entities, observation, n_actions
        if input_size not in (observation, observation + n_actions):
            raise ValueError(
                f"entities describe observations of {observation} numbers, but with {n_actions} "
                f"actions the inputs have {input_size}"
            )
        self._chosen = input_size > observation
        attacks, helps = entities.attacks is not None, entities.helps is not None
        plain, order, other = _orders(entities, n_actions)
        self._n_plain = len(plain)
        self.own = Linear(entities.own_size + self._chosen * len(plain), hidden_size)
        self.teammates = UnitNetwork(
            entities.teammates, helps, self._chosen and helps, hidden_size
        )
        self.enemies = UnitNetwork(
            entities.enemies, attacks, self._chosen and attacks, hidden_size
        )
        self.merge = Linear(2 * hidden_size, hidden_size, bias=False)
        self.encoder_norm = normalized(layer_norm, hidden_size)
        self.gru = nn.GRUCell(hidden_size, hidden_size)
        self.head = Linear(hidden_size, len(plain) + attacks + helps)
        n = entities.teammates.count
        mine = torch.tensor(list(places)).unsqueeze(1)
        team, others = torch.arange(n + 1), torch.arange(n)
        for name, index in (
            ("_plain", torch.tensor(plain, dtype=torch.int64)),
            ("_order", torch.tensor(order)),
            ("_order_of_helpers", torch.tensor(other)),
            # [N', N] the row of each agent of the team, that of another one for the agent itself;
            ("_row_of", (team - (team > mine).long()).clamp(0, max(n - 1, 0))),
            ("_itself", team == mine),
            # [N', N-1] the agent of the team in each row.
            ("_agent_in", others + (others >= mine).long()),
        ):
            self.register_buffer(name, index, persistent=False)
        self._in_order = order == list(range(n_actions))

    @property
    def output_layers(self) -> tuple[nn.Module, ...]:
        """See base class."""
        asking = (self.teammates.query, self.enemies.query)
        return (self.head, *(query for query in asking if query is not None))

    def step(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """See base class."""
        units = self._units(inputs)
        encoded = self._encode(inputs, units)
        # The cell supports a single axis of rows.
        hidden = self.gru(encoded.flatten(0, -2), hidden.flatten(0, -2)).view_as(hidden)
        return self._utilities(hidden, inputs, units), hidden

    def forward(self, inputs: Tensor, batch_sizes: Any) -> Tensor:
        """See base class; units are read once."""
        sizes = self._checked_sizes(inputs, batch_sizes)
        if self.precision != torch.float32:
            return self.utilities(self.hidden_states(inputs, sizes), inputs)
        units = self._units(inputs)
        return self._utilities(self._unrolled(inputs, units, sizes), inputs, units)

    def utilities(self, hidden: Tensor, inputs: Tensor) -> Tensor:
        """See base class."""
        return self._utilities(hidden, inputs, self._units(inputs))

    def _hidden_states(self, inputs: Tensor, batch_sizes: list[int]) -> Tensor:
        """See base class."""
        return self._unrolled(inputs, self._units(inputs), batch_sizes)

    def _unrolled(self, inputs: Tensor, units: Any, batch_sizes: list[int]) -> Tensor:
        n_agents, gru = inputs.shape[1], self.gru
        hidden = packed_gru(
            self._encode(inputs, units).flatten(0, 1),
            [size * n_agents for size in batch_sizes],
            (gru.weight_ih, gru.weight_hh, gru.bias_ih, gru.bias_hh),
        )
        return hidden.view(*inputs.shape[:2], -1)

    def _units(self, inputs: Tensor) -> tuple[SeenRows | Tensor, SeenRows | Tensor]:
        """Teammates and enemies: their seen rows, or u [..., R, h] of all rows.

        Seen rows are the fast form for plain CPU tensors; the other one may be exported.
        """
        fast = not (
            inputs.device.type != "cpu"
            or torch.is_autocast_enabled("cpu")
            or torch.compiler.is_compiling()
        )
        found = []
        for network, chosen in zip(
            (self.teammates, self.enemies), self._chosen_units(inputs), strict=True
        ):
            read = network.seen if fast else network.embedded
            found.append(read(inputs, chosen))
        return found[0], found[1]

    def _chosen_units(self, inputs: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """[..., R] whether the last action concerned each teammate and each enemy."""
        entities = self.entities
        last = inputs[..., self._observation :]
        helped = attacked = None
        if self._chosen and entities.attacks is not None:
            attacked = last[..., entities.attacks : entities.attacks + entities.enemies.count]
        if self._chosen and entities.helps is not None:
            team = last[..., entities.helps : entities.helps + entities.teammates.count + 1]
            agents = self._agent_in.expand(*team.shape[:-1], -1)
            helped = team.gather(-1, agents)
        if entities.helper is not None and attacked is not None and helped is not None:
            helping = inputs[..., entities.helper, None] > 0
            attacked, helped = attacked * ~helping, helped * helping
        return helped, attacked

    def _encode(self, inputs: Tensor, units: tuple[Any, Any]) -> Tensor:
        own = [inputs[..., start:stop] for start, stop in self.entities.own]
        if self._chosen:
            own.append(inputs[..., self._observation :].index_select(-1, self._plain))
        sums = []
        for network, found in zip((self.teammates, self.enemies), units, strict=True):
            if isinstance(found, SeenRows):
                pooled = summed(found, network.embed.weight, network.embed.bias)
                sums.append(pooled.view(*inputs.shape[:-1], -1))
            else:
                sums.append(found.sum(-2))
        encoded = self.own(torch.cat(own, -1)) + self.merge(torch.cat(sums, -1))
        return torch.relu(self.encoder_norm(encoded))

    def _utilities(self, hidden: Tensor, inputs: Tensor, units: tuple[Any, Any]) -> Tensor:
        """Utilities [..., N, A]."""
        entities, n_plain = self.entities, self._n_plain
        heads = self.head(hidden)
        values, rest = [heads[..., :n_plain]], heads[..., n_plain:]
        if entities.attacks is not None:
            values.append(self._values(self.enemies, hidden, units[1]) + rest[..., :1])
        if entities.helps is not None:
            rows = self._values(self.teammates, hidden, units[0])
            agents = rows.gather(-1, self._row_of.expand(*rows.shape[:-1], -1))
            values.append(agents.masked_fill(self._itself, 0) + rest[..., -1:])
        utilities = torch.cat([*values, rest], -1)
        if entities.helper is None:
            if self._in_order:
                return utilities[..., : self._n_actions]
            return utilities.index_select(-1, self._order)
        return torch.where(
            inputs[..., entities.helper, None] > 0,
            utilities.index_select(-1, self._order_of_helpers),
            utilities.index_select(-1, self._order),
        )

    @staticmethod
    def _values(network: UnitNetwork, hidden: Tensor, units: Any) -> Tensor:
        """<q, u> [..., R] of each unit, 0 where none is seen."""
        assert network.query is not None
        query = network.query(hidden)
        if isinstance(units, SeenRows):
            flat = valued(
                units, query.flatten(0, -2), network.embed.weight, network.embed.bias
            )
            return flat.view(*hidden.shape[:-1], -1)
        return (units * query.unsqueeze(-2)).sum(-1)


def _orders(entities: Entities, n_actions: int) -> tuple[list[int], list[int], list[int]]:
    """The actions that concern nobody, and where each action's value is.

    The values are those of actions that concern nobody, of enemies, of the team's agents, and what
    an attack and a help are worth where there is no unit.

    Returns:
        The actions; where the value of each action is; the same for agents that help.
    """
    attacked: range | tuple[()] = ()
    helped: range | tuple[()] = ()
    if entities.attacks is not None:
        attacked = range(entities.attacks, entities.attacks + entities.enemies.count)
    if entities.helps is not None:
        helped = range(entities.helps, entities.helps + entities.teammates.count + 1)
    plain = [a for a in range(n_actions) if a not in attacked and a not in helped]
    of_enemies = {a: len(plain) + j for j, a in enumerate(attacked)}
    of_agents = {a: len(plain) + len(attacked) + k for k, a in enumerate(helped)}
    nobody = len(plain) + len(attacked) + len(helped)
    known = {a: place for place, a in enumerate(plain)}
    both = [known | of_agents | of_enemies, known | of_enemies | of_agents]
    if entities.helper is not None:
        both = [known | of_enemies, known | of_agents]
    last = nobody + (entities.attacks is not None and entities.helps is not None)
    order, other = (
        [places.get(a, missing) for a in range(n_actions)]
        for places, missing in zip(both, (nobody, last), strict=True)
    )
    return plain, order, other
