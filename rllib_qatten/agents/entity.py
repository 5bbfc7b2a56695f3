"""The entity agent: it sees units as sets, and values an action by the unit that it concerns."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rllib_qatten.agents.base import Agent, normalized
from rllib_qatten.agents.compiled_entity import Seen, UnitsUnrolling, read
from rllib_qatten.agents.compiled_recurrent import (
    Parameters,
    computed,
    differentiable,
    parameters_of,
    suits,
)
from rllib_qatten.agents.entities import Entities
from rllib_qatten.agents.entity_actions import EntityActions
from rllib_qatten.agents.inputs import EpisodeInputs, last_actions_of
from rllib_qatten.agents.packed_gru import packed_gru
from rllib_qatten.agents.relations import Relations
from rllib_qatten.agents.shares import Share, joined, key_of, shares
from rllib_qatten.agents.unit_network import UnitNetwork, read_units
from rllib_qatten.hardware.fast_linear import Linear
from rllib_qatten.hardware.threads import in_threads

#: The modules of `rllib_qatten.compiled` that compute it.
_COMPILED = "reading", "units", "recurrent"


class Read(NamedTuple):
    """What inputs [..., I] say: about the agent itself, its units, and whether it helps."""

    own: Tensor
    teammates: Tensor
    enemies: Tensor
    helping: Tensor | None


class EntityAgent(Agent):
    """Sums over units, GRU, a value of each unit: permuting units permutes these values alone.

    A teammate's row x becomes u = relu(W x + b), an enemy's likewise by another W. The encoder sees
    the agent's own part, the sum of all teammates' u, and that of all enemies' u. An action that
    concerns nobody is valued by a linear head, as usual; one that concerns a unit is worth
    <q, u> + v, where q and v are linear in the hidden state. So that action's weights are made of
    the unit, as in the hyper policy network of Hao et al. (ICLR 2023), but out of the u that is
    summed for the encoder, as in deep sets (Zaheer et al. 2017).

    The agent's last action is told in the row of the unit that it concerned, and so is how far the
    unit is and how many aim at it, where observations say so (`Relations`). Inputs hold no ids of
    agents, so no weight depends on how many units there are.

    Every row of its inputs is a separate agent. Letters as in `Agent`.
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
        self.relations = Relations(entities, places)
        self._observation_size, self._told = size, told
        self._entities = entities = entities.related
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

    def step(self, inputs: Tensor | EpisodeInputs, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """See base class.

        Compiled for games that are played for training. Whoever else acts need not compile first.
        """
        parameters, seen = self._weights(self.head), None
        before = hidden.reshape(-1, self.hidden_size)
        if isinstance(inputs, EpisodeInputs) and not torch.is_grad_enabled():
            whole = [Share(np.arange(len(before)), [len(before)])]
            seen = self._seen(inputs, parameters, whole)
        if seen is not None:
            unrolling = UnitsUnrolling(seen[0], [len(before)], self.actions, before)
            utilities = computed(unrolling, parameters)
            return utilities.view(*inputs.shape[:-1], -1), unrolling.after.view_as(hidden)
        units = self._read(inputs)
        # The cell supports a single axis of rows.
        encoded = self._encode(units).flatten(0, -2)
        hidden = self.gru(encoded, hidden.flatten(0, -2)).view_as(hidden)
        return self._values(hidden, units), hidden

    def hidden_states(
        self, inputs: Tensor | EpisodeInputs, batch_sizes: Tensor | Sequence[int]
    ) -> Tensor:
        """See base class; compiled where that is possible."""
        return self._unrolled(inputs, batch_sizes, None)

    def forward(
        self, inputs: Tensor | EpisodeInputs, batch_sizes: Tensor | Sequence[int]
    ) -> Tensor:
        """See base class; compiled where that is possible."""
        return self._unrolled(inputs, batch_sizes, self.head)

    def _unrolled(
        self, inputs: Tensor | EpisodeInputs, batch_sizes: Tensor | Sequence[int], head: Any
    ) -> Tensor:
        """Utilities, or hidden states if there is no head."""
        parameters = self._weights(head)
        by_torch = functools.partial(self._by_torch, inputs, batch_sizes, head)
        sizes = self._checked_sizes(inputs, batch_sizes)
        entries, n = inputs.shape[:2]
        given = shares(sizes, n)
        seen = self._seen(inputs, parameters, given)
        if seen is None:
            return by_torch()
        each = [
            UnitsUnrolling(of_share, share.steps, self.actions)
            for of_share, share in zip(seen, given, strict=True)
        ]
        return differentiable(joined(each, given), parameters, by_torch).view(entries, n, -1)

    def _by_torch(
        self, inputs: Tensor | EpisodeInputs, batch_sizes: Tensor | Sequence[int], head: Any
    ) -> Tensor:
        hidden = super().hidden_states(inputs, batch_sizes)
        return hidden if head is None else self.utilities(hidden, inputs)

    def _weights(self, head: Any) -> Parameters:
        """In the order that the compiled functions take them in."""
        units = [p for net in (self.teammates, self.enemies) for p in (net.weight, net.bias)]
        return [*units, *parameters_of(self.encoder, self.encoder_norm, self.gru, head)]

    @property
    def compiled(self) -> bool:
        """See base class."""
        plain = [p.detach() for p in self.parameters()]
        return self.precision == torch.float32 and all(
            suits(name, plain[0], plain) for name in _COMPILED
        )

    def _seen(
        self, inputs: Tensor | EpisodeInputs, parameters: Parameters, given: Sequence[Share]
    ) -> list[Seen] | None:
        """What compiled functions read of each share, once for live and target networks.

        None if they cannot.
        """
        observations = inputs.observations if isinstance(inputs, EpisodeInputs) else inputs
        if self.precision != torch.float32 or not all(
            suits(name, observations, parameters) for name in _COMPILED
        ):
            return None

        def seen(last: Tensor) -> list[Seen]:
            how = self.relations, self.actions, self._told
            return in_threads(lambda share: read(observations, last, *how, share.rows), given)

        if isinstance(inputs, EpisodeInputs):
            actions = inputs.known_actions
            key = self._entities, key_of(given)
            found: list[Seen] = inputs.once(key, lambda: seen(actions))
            return found
        last = last_actions_of(inputs[..., self._observation_size :])
        return None if last is None else seen(last)

    def utilities(self, hidden: Tensor, inputs: Tensor | EpisodeInputs) -> Tensor:
        """See base class."""
        return self._values(hidden, self._read(inputs))

    def _hidden_states(self, inputs: Tensor | EpisodeInputs, batch_sizes: list[int]) -> Tensor:
        """See base class."""
        encoded, gru = self._encode(self._read(inputs)), self.gru
        hidden = packed_gru(
            encoded.flatten(0, 1),
            [size * encoded.shape[1] for size in batch_sizes],
            (gru.weight_ih, gru.weight_hh, gru.bias_ih, gru.bias_hh),
        )
        return hidden.view_as(encoded)

    def _read(self, inputs: Tensor | EpisodeInputs) -> Read:
        """What inputs say, read once for live and target networks, encoder and head."""
        if isinstance(inputs, EpisodeInputs):
            laid_out = inputs.tensor
            found: Read = inputs.once((Read, self._entities), lambda: self._read_rows(laid_out))
            return found
        return self._read_rows(inputs)

    def _read_rows(self, inputs: Tensor) -> Read:
        entities, helped, attacked, helping = self._entities, None, None, None
        last_action = inputs[..., self._observation_size :]
        inputs = self.relations(inputs)
        # Of no columns first, as there may be no own part.
        own = [inputs[..., start:stop] for start, stop in ((0, 0), *entities.own)]
        if entities.helper is not None:
            helping = inputs[..., entities.helper].unsqueeze(-1) > 0
        if self._told:
            own.append(last_action.index_select(-1, self.actions.plain))
            helped, attacked = self.actions.chosen(last_action, helping)
        return Read(
            torch.cat(own, -1),
            read_units(inputs, entities.teammates, helped),
            read_units(inputs, entities.enemies, attacked),
            helping,
        )

    def _encode(self, seen: Read) -> Tensor:
        own, leading = seen.own, seen.own.shape[:-1]
        teammates = self.teammates.summed(seen.teammates).view(*leading, -1)
        enemies = self.enemies.summed(seen.enemies).view(*leading, -1)
        encoded = self.encoder(torch.cat([own, teammates, enemies], -1))
        return torch.relu(self.encoder_norm(encoded))

    def _values(self, hidden: Tensor, seen: Read) -> Tensor:
        """Utilities [..., N, A] of hidden states [..., N, h]."""
        heads: Tensor = self.head(hidden)
        *queries, values = heads.split_with_sizes(self._parts, -1)
        attack = help_ = None
        if self._entities.attacks is not None:
            attack = self.enemies.valued(queries[0], seen.enemies)
        if self._entities.helps is not None:
            help_ = self.teammates.valued(queries[-1], seen.teammates)
        return self.actions.in_order(values, help_, attack, seen.helping)
