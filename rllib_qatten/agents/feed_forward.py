"""The feed-forward agent: one shared network, from the current observation to utilities."""

import torch
from torch import Tensor

from rllib_qatten.agents.base import Agent, normalized
from rllib_qatten.agents.inputs import EpisodeInputs, laid_out
from rllib_qatten.hardware.fast_linear import Linear


class FeedForwardAgent(Agent):
    """Linear, ReLU, Linear, ReLU, Linear: no memory, for teams that see all they need.

    As hidden state it returns the features [..., h] before its head, which it never reads. Letters
    as in `Agent`. Parameters have torch's default initialization.
    """

    def __init__(
        self, input_size: int, n_actions: int, hidden_size: int = 64, layer_norm: bool = False
    ) -> None:
        """Builds the network.

        Args:
            input_size: I.
            n_actions: A.
            hidden_size: h, the width of both hidden layers.
            layer_norm: Whether hidden layers are normalized before their ReLU.
        """
        super().__init__(input_size, hidden_size)
        self.encoder = Linear(input_size, hidden_size)
        self.encoder_norm = normalized(layer_norm, hidden_size)
        self.second = Linear(hidden_size, hidden_size)
        self.second_norm = normalized(layer_norm, hidden_size)
        self.head = Linear(hidden_size, n_actions)

    def step(self, inputs: Tensor | EpisodeInputs, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """See base class."""
        features = self._features(laid_out(inputs))
        return self.head(features), features

    def _hidden_states(self, inputs: Tensor | EpisodeInputs, batch_sizes: list[int]) -> Tensor:
        """See base class."""
        return self._features(laid_out(inputs))

    def _features(self, inputs: Tensor) -> Tensor:
        encoded = torch.relu(self.encoder_norm(self.encoder(inputs)))
        return torch.relu(self.second_norm(self.second(encoded)))
