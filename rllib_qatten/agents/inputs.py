"""An agent network's input: [observation | one-hot last action | one-hot agent id]."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class InputLayout:
    """Lays out network inputs, for a batch or step by step for acting.

    Letters: N agents, O observation length, A actions, I input length; `...` stands for packed
    entries when training and for games when acting.

    Attributes:
        observation_size: O.
        n_actions: A.
        n_agents: N.
        last_action: Whether inputs include the agent's last action (zeros before its first).
        agent_id: Whether inputs include the agent's id, so a shared network can tell agents apart.
    """

    observation_size: int
    n_actions: int
    n_agents: int
    last_action: bool = True
    agent_id: bool = True

    @property
    def size(self) -> int:
        """I, the length of one input row."""
        return (
            self.observation_size
            + self.last_action * self.n_actions
            + self.agent_id * self.n_agents
        )

    def blank(self, *leading: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Inputs [*leading, N, I] with the agents' ids set; `fill` writes the rest."""
        inputs = torch.empty(*leading, self.n_agents, self.size, dtype=dtype)
        if self.agent_id:
            inputs[..., -self.n_agents :] = torch.eye(self.n_agents, dtype=dtype)
        return inputs

    def fill(self, inputs: Tensor, observations: Tensor, last_actions: Tensor) -> Tensor:
        """Writes one acting step, or a whole batch, into inputs from `blank`.

        Args:
            inputs: [..., N, I], changed in place.
            observations: [..., N, O].
            last_actions: [..., N] integers, -1 where there is none yet.

        Returns:
            `inputs`.

        Raises:
            ValueError: If a shape does not fit this layout.
        """
        leading = inputs.shape[:-2]
        self._check("inputs", inputs, (*leading, self.n_agents, self.size))
        self._check("observations", observations, (*leading, self.n_agents, self.observation_size))
        self._check("last_actions", last_actions, (*leading, self.n_agents))
        end = self.observation_size
        inputs[..., :end] = observations
        if self.last_action:
            actions = torch.arange(self.n_actions, device=inputs.device)
            inputs[..., end : end + self.n_actions] = last_actions.unsqueeze(-1) == actions
        return inputs

    def __call__(self, observations: Tensor, last_actions: Tensor) -> Tensor:
        """New inputs [..., N, I]; arguments and errors as in `fill`."""
        inputs = self.blank(*observations.shape[:-2], dtype=observations.dtype)
        return self.fill(inputs.to(observations.device), observations, last_actions)

    @staticmethod
    def _check(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
        if tensor.shape != expected:
            raise ValueError(f"{name} must be {list(expected)}, got {list(tensor.shape)}")


@dataclass(frozen=True)
class EpisodeInputs:
    """The inputs of whole packed episodes, laid out only for networks that need them so.

    Attributes:
        layout: How they are laid out.
        observations: [P, N, O] of P packed entries.
        last_actions: [P, N] int64, -1 where there is none yet.
    """

    layout: InputLayout
    observations: Tensor
    last_actions: Tensor

    @property
    def shape(self) -> torch.Size:
        """[P, N, I]."""
        return torch.Size([*self.observations.shape[:-1], self.layout.size])

    @cached_property
    def tensor(self) -> Tensor:
        """[P, N, I], laid out at the first use and shared by all networks that ask."""
        return self.layout(self.observations, self.last_actions)


def laid_out(inputs: Tensor | EpisodeInputs) -> Tensor:
    """[..., N, I], whichever form inputs have."""
    return inputs.tensor if isinstance(inputs, EpisodeInputs) else inputs
