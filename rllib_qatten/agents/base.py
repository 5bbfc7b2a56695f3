"""The interface of agent networks: one step for acting, whole packed episodes for learning.

Letters: P packed entries, N agents, I input length (see `InputLayout`), A actions, h hidden size.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from rllib_qatten.agents.inputs import EpisodeInputs


class Agent(nn.Module, ABC):
    """From own history to utilities. A subclass implements `step`, `_hidden_states`, `utilities`.

    The caller keeps a hidden state [..., N, h] from step to step, initially zeros, whether or not
    the network has a memory. Axis N is that of the team's agents, in their order.

    Attributes:
        input_size: I.
        hidden_size: h.
        head: The layer behind hidden states.
        agent_id: Whether inputs hold the agent's id.
        needs_entities: Whether it must know how observations are made of units.
        precision: The dtype of `hidden_states`' matrix products, torch.float32 or torch.bfloat16.
            Utilities are float32 either way: they differ by less than bfloat16 can resolve.
    """

    agent_id: ClassVar[bool] = True
    needs_entities: ClassVar[bool] = False
    head: nn.Module

    def __init__(self, input_size: int, hidden_size: int) -> None:
        """Stores the sizes I and h."""
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.precision = torch.float32

    def initial_hidden(self, *leading: int) -> Tensor:
        """The hidden state at the start of an episode: zeros [*leading, h]."""
        return next(self.parameters()).new_zeros(*leading, self.hidden_size)

    @abstractmethod
    def step(self, inputs: Tensor | EpisodeInputs, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One step of any number of games.

        Args:
            inputs: [..., N, I], or of G games before they are laid out.
            hidden: [..., N, h], the agents' hidden state so far.

        Returns:
            Utilities [..., N, A] and the next hidden state [..., N, h].
        """

    @abstractmethod
    def _hidden_states(self, inputs: Tensor | EpisodeInputs, batch_sizes: list[int]) -> Tensor:
        """Hidden states [P, N, h] after each entry; arguments as in `forward`, already checked."""

    @property
    def compiled(self) -> bool:
        """Whether whole episodes go through one compiled function."""
        return False

    def utilities(self, hidden: Tensor, inputs: Tensor | EpisodeInputs) -> Tensor:
        """Utilities [..., N, A] of hidden states [..., N, h] after inputs [..., N, I]."""
        utilities: Tensor = self.head(hidden)
        return utilities

    def hidden_states(
        self, inputs: Tensor | EpisodeInputs, batch_sizes: Tensor | Sequence[int]
    ) -> Tensor:
        """Hidden states [P, N, h] after each entry, with gradient; arguments as in `forward`.

        `utilities` turns them into utilities: to get both, call this and then that.
        """
        sizes = self._checked_sizes(inputs, batch_sizes)
        if self.precision == torch.float32:
            return self._hidden_states(inputs, sizes)
        like = next(self.parameters())
        with torch.autocast(like.device.type, self.precision):
            return self._hidden_states(inputs, sizes).to(like.dtype)

    def forward(
        self, inputs: Tensor | EpisodeInputs, batch_sizes: Tensor | Sequence[int]
    ) -> Tensor:
        """Utilities of whole episodes, each from a zero hidden state.

        Args:
            inputs: [P, N, I], packed as in torch's `PackedSequence`: longest episode first,
                time-major, no padding; or the same before it is laid out.
            batch_sizes: [T], how many episodes have an entry at each step; P is their sum.

        Returns:
            Utilities [P, N, A].

        Raises:
            ValueError: If the shapes do not match each other or this network.
        """
        return self.utilities(self.hidden_states(inputs, batch_sizes), inputs)

    def _checked_sizes(
        self, inputs: Tensor | EpisodeInputs, batch_sizes: Tensor | Sequence[int]
    ) -> list[int]:
        sizes = torch.as_tensor(batch_sizes).tolist()
        if not sizes or min(sizes) < 1 or sizes != sorted(sizes, reverse=True):
            raise ValueError(
                "batch_sizes must be positive and never increase (sort the episodes longest "
                f"first), got {sizes}"
            )
        expected = (sum(sizes), self.input_size)
        if len(inputs.shape) != 3 or (inputs.shape[0], inputs.shape[2]) != expected:
            raise ValueError(
                f"inputs must be [P={expected[0]}, N, I={expected[1]}] with P = sum(batch_sizes) "
                f"and I the input_size of this agent, got {list(inputs.shape)}"
            )
        return sizes


def unroll(
    agent: Agent,
    target_agent: Agent,
    inputs: Tensor | EpisodeInputs,
    batch_sizes: Tensor | Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Utilities [P, N, A] of the live agent, with gradient, and of the target agent, without it.

    Arguments and errors are those of `Agent.forward`.
    """
    utilities = agent(inputs, batch_sizes)
    with torch.no_grad():
        target_utilities = target_agent(inputs, batch_sizes)
    return utilities, target_utilities


def normalized(layer_norm: bool, size: int) -> nn.Module:
    """What goes between a hidden layer and its ReLU: a layer norm, or nothing."""
    return nn.LayerNorm(size) if layer_norm else nn.Identity()
