"""The recurrent agent (DRQN): one shared network, from an agent's history to utilities."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rllib_qatten.agents.base import Agent, normalized
from rllib_qatten.agents.compiled_recurrent import parameters_of, suits, unroll_compiled
from rllib_qatten.agents.inputs import EpisodeInputs, laid_out
from rllib_qatten.agents.packed_gru import packed_gru
from rllib_qatten.hardware.fast_linear import Linear


class RecurrentAgent(Agent):
    """Linear, ReLU, GRU, Linear: the agent network of PyMARL and of the Qatten paper.

    Every row of its inputs is a separate agent, so it takes any number of agents. Letters as in
    `Agent`. Parameters have torch's default initialization.
    """

    def __init__(
        self, input_size: int, n_actions: int, hidden_size: int = 64, layer_norm: bool = False
    ) -> None:
        """Builds the network.

        Args:
            input_size: I.
            n_actions: A.
            hidden_size: h, of the encoder's output and of the GRU.
            layer_norm: Whether the encoder's output is normalized before its ReLU.
        """
        super().__init__(input_size, hidden_size)
        self.encoder = Linear(input_size, hidden_size)
        self.encoder_norm = normalized(layer_norm, hidden_size)
        self.gru = nn.GRUCell(hidden_size, hidden_size)
        self.head = Linear(hidden_size, n_actions)

    def step(self, inputs: Tensor | EpisodeInputs, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """See base class."""
        encoded = self._encode(laid_out(inputs))
        # The cell supports a single axis of rows.
        hidden = self.gru(encoded.flatten(0, -2), hidden.flatten(0, -2)).view_as(hidden)
        return self.head(hidden), hidden

    def hidden_states(
        self, inputs: Tensor | EpisodeInputs, batch_sizes: Tensor | Sequence[int]
    ) -> Tensor:
        """See base class; compiled where that is possible."""
        return self._unrolled(inputs, batch_sizes, None, super().hidden_states)

    def forward(
        self, inputs: Tensor | EpisodeInputs, batch_sizes: Tensor | Sequence[int]
    ) -> Tensor:
        """See base class; compiled where that is possible."""
        head: Any = self.head  # the base class knows it as a function
        return self._unrolled(inputs, batch_sizes, head, super().forward)

    @property
    def compiled(self) -> bool:
        """See base class."""
        plain = [p.detach() for p in self.parameters()]
        return self.precision == torch.float32 and suits("recurrent", plain[0], plain)

    def _unrolled(
        self,
        inputs: Tensor | EpisodeInputs,
        batch_sizes: Tensor | Sequence[int],
        head: Linear | None,
        by_torch: Callable[..., Tensor],
    ) -> Tensor:
        parameters = parameters_of(self.encoder, self.encoder_norm, self.gru, head)
        if self.precision != torch.float32 or not isinstance(inputs, EpisodeInputs):
            return by_torch(inputs, batch_sizes)
        if not suits("recurrent", inputs.observations, parameters):
            return by_torch(inputs, batch_sizes)
        sizes = self._checked_sizes(inputs, batch_sizes)
        return unroll_compiled(inputs, sizes, parameters, lambda: by_torch(inputs.tensor, sizes))

    def _hidden_states(self, inputs: Tensor | EpisodeInputs, batch_sizes: list[int]) -> Tensor:
        """See base class."""
        n_agents = inputs.shape[1]
        gru = self.gru
        hidden = packed_gru(
            self._encode(laid_out(inputs)).flatten(0, 1),
            [size * n_agents for size in batch_sizes],
            (gru.weight_ih, gru.weight_hh, gru.bias_ih, gru.bias_hh),
        )
        return hidden.view(*inputs.shape[:2], -1)

    def _encode(self, inputs: Tensor) -> Tensor:
        return torch.relu(self.encoder_norm(self.encoder(inputs)))
