"""Orthogonal initial weights for an agent network."""

import math

from torch import nn

from rllib_qatten.agents.base import Agent


def orthogonal_init_(agent: Agent) -> None:
    """Makes weights orthogonal and biases zero, in place (Saxe et al. 2014).

    Layers before a ReLU get the gain sqrt(2), the head 1; in a GRU, each gate's two matrices are
    orthogonal on their own.
    """
    for layer in agent.modules():
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, 1.0 if layer is agent.head else math.sqrt(2))
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.GRUCell):
            for weight in (*layer.weight_ih.chunk(3), *layer.weight_hh.chunk(3)):
                nn.init.orthogonal_(weight)
            nn.init.zeros_(layer.bias_ih)
            nn.init.zeros_(layer.bias_hh)
