"""The entity agent: it sees units as sets, and values an action by the unit that it concerns."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from rllib_qatten.agents.base import Agent, normalized
from rllib_qatten.agents.entities import Entities
from rllib_qatten.agents.entity_actions import EntityActions
from rllib_qatten.agents.inputs import EpisodeInputs, laid_out
from rllib_qatten.agents.packed_gru import packed_gru
from rllib_qatten.agents.unit_network import UnitNetwork, Units, read_units
from rllib_qatten.fast_linear import Linear


class Seen(NamedTuple):
    """What inputs [..., I] say: about the agent itself, its units, and whether it helps."""

    own: Tensor
    teammates: Units
    enemies: Units
    helping: Tensor | None


class EntityAgent(Agent):
    """Sums over units, GRU, a value of each unit: permuting units permutes these values alone.

    A teammate's row x becomes u = relu(W x + b), an enemy's likewise by another W. The encoder sees
    the agent's own part, the sum of all teammates' u, and that of all enemies' u. An action that
    concerns nobody is valued by a linear head, as usual; one that concerns a unit is worth
    <q, u> + v, where q and v are linear in the hidden state. So that action's weights are made of
    the unit, as in the hyper policy network of Hao et al. (ICLR 2023), but out of the u that is
    summed for the encoder, as in deep sets (Zaheer et al. 2017).

    The agent's last action is told in the row of the unit that it concerned. Inputs hold no ids of
    agents, so no weight depends on how many units there are.

    Every row of its inputs is a separate agent. Letters as in `Agent`.
    """

    agent_id = False
    needs_entities = True
    #: Inputs, their version with the layout, and what was read of them.
    _latest: ClassVar[tuple[weakref.ref[Tensor] | None, Any, Seen | None]] = (None, None, None)

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
            input_size: I, of an observation, or of one with the last action.
            n_actions: A.
            hidden_size: h, of u, of the encoder's output and of the GRU.
            layer_norm: Whether the encoder's output is normalized before its ReLU.
            entities: How an observation is made.
            places: The agents' indices in the team, needed if actions concern teammates.

        Raises:
            ValueError: If the sizes do not fit.
        """
        super().__init__(input_size, hidden_size)
        size = entities.observation_size
        if input_size not in (size, size + n_actions):
            raise ValueError(
                f"entities describe observations of {size} numbers, but with {n_actions} actions "
                f"the inputs have {input_size}"
            )
        told = input_size > size
        attacks, helps = entities.attacks is not None, entities.helps is not None
        self._entities, self._told = entities, told
        self.actions = EntityActions(entities, n_actions, places)
        n_plain = len(self.actions.plain)
        width = hidden_size
        self.teammates = UnitNetwork(entities.teammates.used + (told and helps), width)
        self.enemies = UnitNetwork(entities.enemies.used + (told and attacks), width)
        self.encoder = Linear(entities.own_size + told * n_plain + 2 * width, hidden_size)
        self.encoder_norm = normalized(layer_norm, hidden_size)
        self.gru = nn.GRUCell(hidden_size, hidden_size)
        # For each way to concern a unit a query and the part of its value that no unit changes.
        self._parts = [width] * (attacks + helps) + [n_plain + attacks + helps]
        self.head = Linear(hidden_size, sum(self._parts))

    def step(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """See base class."""
        seen = self._read(inputs)
        encoded = self._encode(seen)
        # The cell supports a single axis of rows.
        hidden = self.gru(encoded.flatten(0, -2), hidden.flatten(0, -2)).view_as(hidden)
        return self._values(hidden, seen), hidden

    def forward(self, inputs: Tensor | EpisodeInputs, batch_sizes: Any) -> Tensor:
        """See base class, which would read the units twice."""
        inputs = laid_out(inputs)
        if self.precision != torch.float32:
            return super().forward(inputs, batch_sizes)
        sizes = self._checked_sizes(inputs, batch_sizes)
        seen = self._read_once(laid_out(inputs))
        return self._values(self._unrolled(seen, sizes), seen)

    def utilities(self, hidden: Tensor, inputs: Tensor | EpisodeInputs) -> Tensor:
        """See base class."""
        return self._values(hidden, self._read(laid_out(inputs)))

    def _hidden_states(self, inputs: Tensor, batch_sizes: list[int]) -> Tensor:
        """See base class."""
        return self._unrolled(self._read(inputs), batch_sizes)

    def _read_once(self, inputs: Tensor) -> Seen:
        """`_read`, or what it gave the last time: live and target networks read the same inputs."""
        key = (inputs._version, self._entities)
        source, known, seen = EntityAgent._latest
        if source is None or source() is not inputs or known != key or inputs.requires_grad:
            seen = self._read(inputs)
            EntityAgent._latest = (weakref.ref(inputs), key, seen)
        assert seen is not None
        return seen

    def _read(self, inputs: Tensor) -> Seen:
        entities, helped, attacked, helping = self._entities, None, None, None
        own = [inputs[..., start:stop] for start, stop in entities.own]
        if entities.helper is not None:
            helping = inputs[..., entities.helper].unsqueeze(-1) > 0
        if self._told:
            last_action = inputs[..., entities.observation_size :]
            own.append(last_action.index_select(-1, self.actions.plain))
            helped, attacked = self.actions.chosen(last_action, helping)
        return Seen(
            torch.cat(own, -1),
            read_units(inputs, entities.teammates, helped),
            read_units(inputs, entities.enemies, attacked),
            helping,
        )

    def _encode(self, seen: Seen) -> Tensor:
        own, leading = seen.own, seen.own.shape[:-1]
        teammates = self.teammates.summed(seen.teammates).view(*leading, -1)
        enemies = self.enemies.summed(seen.enemies).view(*leading, -1)
        encoded = self.encoder(torch.cat([own, teammates, enemies], -1))
        return torch.relu(self.encoder_norm(encoded))

    def _unrolled(self, seen: Seen, batch_sizes: list[int]) -> Tensor:
        encoded, gru = self._encode(seen), self.gru
        hidden = packed_gru(
            encoded.flatten(0, 1),
            [size * encoded.shape[1] for size in batch_sizes],
            (gru.weight_ih, gru.weight_hh, gru.bias_ih, gru.bias_hh),
        )
        return hidden.view_as(encoded)

    def _values(self, hidden: Tensor, seen: Seen) -> Tensor:
        """Utilities [..., N, A] of hidden states [..., N, h]."""
        heads: Tensor = self.head(hidden)
        *queries, values = heads.split_with_sizes(self._parts, -1)
        attack = help_ = None
        if self._entities.attacks is not None:
            attack = self.enemies.valued(queries[0], seen.enemies)
        if self._entities.helps is not None:
            help_ = self.teammates.valued(queries[-1], seen.teammates)
        return self.actions.in_order(values, help_, attack, seen.helping)
