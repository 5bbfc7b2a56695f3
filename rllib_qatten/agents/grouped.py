"""Agents that do not all share their parameters: one network per group of agents."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from rllib_qatten.agents.base import Agent
from rllib_qatten.agents.inputs import EpisodeInputs, laid_out


class GroupedAgent(Agent):
    """Several networks that look like one; each sees only the agents of its group.

    The networks run one after another, so the time of a step grows with the number of groups; that
    of an update grows far less, since arithmetic dominates there. Letters as in `Agent`.

    Attributes:
        networks: One per group.
    """

    networks: Sequence[Agent]
    _order: Tensor
    _place: Tensor

    def __init__(self, networks: Sequence[Agent], groups: Sequence[int]) -> None:
        """Takes ownership of the networks.

        Args:
            networks: One per group, of equal sizes I, A and h.
            groups: [N], for each agent the index of its network.

        Raises:
            ValueError: If a group has no network or a network no agent.
        """
        if sorted(set(groups)) != list(range(len(networks))):
            raise ValueError(
                f"groups must name each of the {len(networks)} networks by its index, and no "
                f"others; got {list(groups)}"
            )
        super().__init__(networks[0].input_size, networks[0].hidden_size)
        # To the type checker a ModuleList is not a Sequence.
        self.networks = nn.ModuleList(networks)  # type: ignore[assignment]
        group_of = torch.tensor(groups)
        self._group_sizes = group_of.bincount().tolist()
        # The order of agents once they are sorted by group, and its inverse.
        self.register_buffer("_order", group_of.argsort(stable=True), persistent=False)
        self.register_buffer("_place", self._order.argsort(), persistent=False)

    def forward(
        self, inputs: Tensor | EpisodeInputs, batch_sizes: Tensor | Sequence[int]
    ) -> Tensor:
        """See base class; each network as it is fastest."""
        if self.precision != torch.float32:
            return super().forward(inputs, batch_sizes)
        self._checked_sizes(inputs, batch_sizes)
        parts = zip(self.networks, self._split(laid_out(inputs)), strict=True)
        return self._join(network(part, batch_sizes) for network, part in parts)

    def utilities(self, hidden: Tensor, inputs: Tensor | EpisodeInputs) -> Tensor:
        """See base class; each agent's by its own network."""
        parts = zip(self.networks, self._split(hidden), self._split(laid_out(inputs)), strict=True)
        return self._join(network.utilities(h, x) for network, h, x in parts)

    def step(self, inputs: Tensor | EpisodeInputs, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """See base class; inputs must have the axis N.

        Raises:
            ValueError: If they have a different number of agents.
        """
        parts = zip(self.networks, self._split(laid_out(inputs)), self._split(hidden), strict=True)
        utilities, states = zip(*(network.step(x, h) for network, x, h in parts), strict=True)
        return self._join(utilities), self._join(states)

    def _hidden_states(self, inputs: Tensor | EpisodeInputs, batch_sizes: list[int]) -> Tensor:
        """See base class."""
        parts = zip(self.networks, self._split(laid_out(inputs)), strict=True)
        return self._join(network._hidden_states(part, batch_sizes) for network, part in parts)

    def _split(self, x: Tensor) -> tuple[Tensor, ...]:
        """[..., N, *] -> for each group, the rows of its agents."""
        if x.dim() < 2 or x.shape[-2] != len(self._order):
            raise ValueError(
                f"agents that do not share parameters need an axis of N={len(self._order)} agents "
                f"before the last one, got {list(x.shape)}"
            )
        return x.index_select(-2, self._order).split_with_sizes(self._group_sizes, -2)

    def _join(self, parts: Iterable[Tensor]) -> Tensor:
        return torch.cat(list(parts), -2).index_select(-2, self._place)
