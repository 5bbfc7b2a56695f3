"""Which action concerns which unit: where a set of units meets a row of numbered actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rllib_qatten.agents.entities import Entities


class Tables(NamedTuple):
    """The same as arrays, for compiled functions; of agents that attack, and of those that help.

    Attributes:
        plain: [A + 1] an action's place among those that concern nobody, -1 for others and at -1.
        columns: [2, A] where the head's values have what an action is worth whomever it concerns.
        of_teammates: [2, N', R] the action that concerns each teammate, -1 if none does.
        of_enemies: [2, 1, E] likewise of enemies.
    """

    plain: Any
    columns: Any
    of_teammates: Any
    of_enemies: Any


class EntityActions(nn.Module):
    """Reads the last action by unit, and lays out values by action.

    Letters as in `Agent`; N' agents share the network, R rows of teammates, E rows of enemies.

    Attributes:
        n_actions: A.
        plain: The actions that concern nobody.
        attacks: Whether actions concern enemies.
        helps: Whether actions concern teammates.
        tables: Which action concerns which unit.
    """

    plain: Tensor
    _order: Tensor
    _order_of_helpers: Tensor
    _row_of: Tensor
    _agent_in: Tensor

    def __init__(self, entities: Entities, n_actions: int, places: Sequence[int]) -> None:
        """Computes the indices.

        Args:
            entities: How an observation is made.
            n_actions: A.
            places: [N'] the agents' indices in the team, needed if actions concern teammates.
        """
        super().__init__()
        self.n_actions = n_actions
        self.attacks, self.helps = entities.attacks is not None, entities.helps is not None
        self._entities = entities
        plain, order, of_helpers = _orders(entities, n_actions)
        # [N', R] the agent of the team in each row; an array, as tensors may be on `meta`.
        rows = np.arange(entities.teammates.count)
        agent_in = rows + (rows >= np.array(places)[:, None])
        self.tables = _tables(entities, np.array(plain, np.int64), agent_in, n_actions)
        self._in_order = order == list(range(n_actions))
        indices = {
            "plain": torch.tensor(plain, dtype=torch.int64),
            "_order": torch.tensor(order),
            "_order_of_helpers": torch.tensor(of_helpers),
        }
        if entities.helps is not None:
            n, mine = entities.teammates.count, torch.tensor(list(places)).unsqueeze(1)
            team = torch.arange(n + 1)
            indices |= {
                # [N', R + 1] the row of each agent of the team; R for the agent itself.
                "_row_of": torch.where(team == mine, n, team - (team > mine).long()),
                "_agent_in": torch.tensor(agent_in),
            }
        for name, index in indices.items():
            self.register_buffer(name, index, persistent=False)

    def chosen(
        self, last_action: Tensor, helping: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Whether the last action concerned each teammate [..., N', R] and enemy [..., N', E].

        Args:
            last_action: [..., N', A] one-hot.
            helping: [..., N', 1] bool, if actions attack or help depending on the agent.
        """
        entities, helped, attacked = self._entities, None, None
        if entities.attacks is not None:
            attacked = last_action[..., entities.attacks :][..., : entities.enemies.count]
        if entities.helps is not None:
            team = last_action[..., entities.helps :][..., : entities.teammates.count + 1]
            helped = team.gather(-1, self._agent_in.expand(*team.shape[:-1], -1))
        if helping is not None:
            attacked = None if attacked is None else attacked * ~helping
            helped = None if helped is None else helped * helping
        return helped, attacked

    def in_order(
        self,
        heads: Tensor,
        of_rows: Tensor | None,
        of_enemies: Tensor | None,
        helping: Tensor | None,
    ) -> Tensor:
        """Utilities [..., N', A].

        Args:
            heads: Values of the actions that concern nobody, then what an attack is worth and what
                help is worth whomever it concerns, if there are such actions.
            of_rows: [..., N', R] what it adds that help concerns this teammate.
            of_enemies: [..., N', E] what it adds that an attack concerns this enemy.
            helping: As for `chosen`.
        """
        n_plain = len(self.plain)
        values, common = [heads[..., :n_plain]], heads[..., n_plain:]
        if of_enemies is not None:
            values.append(of_enemies + common[..., :1])
        if of_rows is not None:
            with_itself = F.pad(of_rows, (0, 1))
            of_team = with_itself.gather(-1, self._row_of.expand(*of_rows.shape[:-1], -1))
            values.append(of_team + common[..., -1:])
        found = torch.cat([*values, common], -1)
        if self._in_order and helping is None:
            return found[..., : self.n_actions]
        utilities = found.index_select(-1, self._order)
        if helping is None:
            return utilities
        return torch.where(helping, found.index_select(-1, self._order_of_helpers), utilities)


def _tables(entities: Entities, plain: Any, agent_in: Any, n_actions: int) -> Tables:
    """See `Tables`; of `plain` actions, and of [N', R] the agent of the team in each row."""
    attacks, helps = entities.attacks is not None, entities.helps is not None
    actions, of_plain = np.arange(n_actions), np.full(n_actions + 1, -1)
    of_plain[plain] = range(len(plain))
    attack, help_ = len(plain), len(plain) + (attacks and helps)
    helped = np.zeros(n_actions, bool)
    of_teammates = np.full((2, len(agent_in) if helps else 1, entities.teammates.count), -1)
    of_enemies = np.full((2, 1, entities.enemies.count), -1)
    if entities.attacks is not None:
        of_enemies[:] = entities.attacks + np.arange(entities.enemies.count)
    if entities.helps is not None:
        helped = (actions >= entities.helps) & (actions <= entities.helps + agent_in.shape[1])
        of_teammates[:] = entities.helps + agent_in
    columns = np.where(helped, help_, attack)[None].repeat(2, 0)
    if entities.helper is not None:  # who attacks does not help, and the other way round
        columns[0], columns[1] = attack, help_
        of_teammates[0], of_enemies[1] = -1, -1
    columns[:, plain] = range(len(plain))
    return Tables(of_plain, columns, of_teammates, of_enemies)


def _orders(entities: Entities, n_actions: int) -> tuple[list[int], list[int], list[int]]:
    """The actions that concern nobody; where `in_order` has each action's value; and a helper's."""
    attacked: Sequence[int] = ()
    helped: Sequence[int] = ()
    if entities.attacks is not None:
        attacked = range(entities.attacks, entities.attacks + entities.enemies.count)
    if entities.helps is not None:
        helped = range(entities.helps, entities.helps + entities.teammates.count + 1)
    plain = entities.plain_actions(n_actions)
    of_enemies = {a: len(plain) + j for j, a in enumerate(attacked)}
    of_team = {a: len(plain) + len(attacked) + k for k, a in enumerate(helped)}
    nobody = {a: place for place, a in enumerate(plain)}
    # An action that only agents of the other kind have is worth what it is whomever it concerns.
    attack = len(plain) + len(attacked) + len(helped)
    help_ = attack + (entities.attacks is not None and entities.helps is not None)
    if entities.helper is None:
        of_enemies = of_team = of_enemies | of_team
    return (
        plain,
        [(nobody | of_enemies).get(a, attack) for a in range(n_actions)],
        [(nobody | of_team).get(a, help_) for a in range(n_actions)],
    )
