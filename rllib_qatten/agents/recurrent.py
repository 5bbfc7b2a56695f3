"""The recurrent agent (DRQN): one network, shared by the team, from own history to utilities."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rllib_qatten.agents.packed_gru import packed_gru


class RecurrentAgent(nn.Module):
    """Linear, ReLU, GRU, Linear: the agent network of PyMARL and of the Qatten paper.

    Letters: P packed entries, N agents, I input length (see `InputLayout`), R rows, A actions,
    h hidden size. Parameters have torch's default initialisation.
    """

    def __init__(self, input_size: int, n_actions: int, hidden_size: int = 64) -> None:
        """Builds the network.

        Args:
            input_size: I.
            n_actions: A.
            hidden_size: h, of the encoder's output and of the GRU.
        """
        super().__init__()
        self.encoder = nn.Linear(input_size, hidden_size)
        self.gru = nn.GRUCell(hidden_size, hidden_size)
        self.head = nn.Linear(hidden_size, n_actions)

    def initial_hidden(self, *leading: int) -> Tensor:
        """The hidden state an episode starts with: zeros [*leading, h]."""
        return self.head.weight.new_zeros(*leading, self.gru.hidden_size)

    def step(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One step of R independent rows.

        Args:
            inputs: [R, I].
            hidden: [R, h], the rows' hidden state so far.

        Returns:
            Utilities [R, A] and the next hidden state [R, h].
        """
        hidden = self.gru(torch.relu(self.encoder(inputs)), hidden)
        return self.head(hidden), hidden

    def forward(self, inputs: Tensor, batch_sizes: Tensor | Sequence[int]) -> Tensor:
        """Utilities of whole episodes, each from a zero hidden state.

        Args:
            inputs: [P, N, I], packed as in torch's `PackedSequence`: longest episode first,
                time-major, no padding.
            batch_sizes: [T], how many episodes have an entry at each step; P is their sum.

        Returns:
            Utilities [P, N, A].

        Raises:
            ValueError: If the shapes do not fit each other or this network.
        """
        utilities: Tensor = self.head(self.hidden_states(inputs, batch_sizes))
        return utilities

    def hidden_states(self, inputs: Tensor, batch_sizes: Tensor | Sequence[int]) -> Tensor:
        """Hidden states [P, N, h] after each entry, with gradient; arguments as in `forward`.

        `head` turns them into utilities, so whoever needs both calls this and then `head`.
        """
        sizes = self._checked_sizes(inputs, batch_sizes)
        n_agents = inputs.shape[1]
        gru = self.gru
        hidden = packed_gru(
            torch.relu(self.encoder(inputs)).flatten(0, 1),
            [size * n_agents for size in sizes],
            (gru.weight_ih, gru.weight_hh, gru.bias_ih, gru.bias_hh),
        )
        return hidden.view(*inputs.shape[:2], -1)

    def _checked_sizes(self, inputs: Tensor, batch_sizes: Tensor | Sequence[int]) -> list[int]:
        sizes = torch.as_tensor(batch_sizes).tolist()
        if not sizes or min(sizes) < 1 or sizes != sorted(sizes, reverse=True):
            raise ValueError(
                "batch_sizes must be positive and never increase (sort the episodes longest "
                f"first), got {sizes}"
            )
        expected = (sum(sizes), self.encoder.in_features)
        if inputs.dim() != 3 or (inputs.shape[0], inputs.shape[2]) != expected:
            raise ValueError(
                f"inputs must be [P={expected[0]}, N, I={expected[1]}] with P = sum(batch_sizes) "
                f"and I the input_size of this agent, got {list(inputs.shape)}"
            )
        return sizes


def unroll(
    agent: RecurrentAgent,
    target_agent: RecurrentAgent,
    inputs: Tensor,
    batch_sizes: Tensor | Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Utilities [P, N, A] of the live agent, with gradient, and of the target agent, without.

    Arguments and errors are those of `RecurrentAgent.forward`.
    """
    utilities = agent(inputs, batch_sizes)
    with torch.no_grad():
        target_utilities = target_agent(inputs, batch_sizes)
    return utilities, target_utilities
