"""One step of acting: the input layout and the agent network combined."""

from typing import Any

from torch import Tensor, nn

from rllib_qatten.agents.inputs import InputLayout
from rllib_qatten.agents.registry import make_agent


class ActingNetwork(nn.Module):
    """From raw observations to utilities, one step at a time; this is what acts and is exported.

    Letters: G games, N agents, O observation length, A actions, h hidden size.

    Attributes:
        layout: How inputs are laid out.
        settings: The agent network's.
        network: The agent network.
    """

    def __init__(self, layout: InputLayout, settings: dict[str, Any]) -> None:
        """Builds the network.

        Args:
            layout: How inputs are laid out.
            settings: The agent network's, as arguments of `make_agent`.
        """
        super().__init__()
        self.layout, self.settings = layout, settings
        self.network = make_agent(layout.size, layout.n_actions, layout.n_agents, **settings)

    def initial_hidden(self, games: int) -> Tensor:
        """The hidden state at the start of a game: zeros [G, N, h]."""
        return self.network.initial_hidden(games, self.layout.n_agents)

    def forward(
        self, observations: Tensor, last_actions: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One step of G games.

        Args:
            observations: [G, N, O].
            last_actions: [G, N] int64, -1 where there is none yet.
            hidden: [G, N, h], the agents' hidden state so far.

        Returns:
            Utilities [G, N, A] of all actions, legal or not, and the next hidden state [G, N, h].
        """
        return self.network.step(self.layout(observations, last_actions), hidden)
