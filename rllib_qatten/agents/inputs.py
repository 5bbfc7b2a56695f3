"""An agent network's input: [observation | one-hot last action | one-hot agent id]."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

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

    def blank(self, *leading: int, like: Tensor | None = None) -> Tensor:
        """Inputs [*leading, N, I] with the agents' ids set; `fill` writes the rest.

        `like` is a tensor of the wanted type and device; without one, float32 on the CPU.
        """
        like = torch.empty(0) if like is None else like
        inputs = like.new_empty(*leading, self.n_agents, self.size)
        if self.agent_id:
            ids = torch.eye(self.n_agents, dtype=like.dtype, device=like.device)
            inputs[..., -self.n_agents :] = ids
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
        self.check(observations, last_actions, leading)
        end = self.observation_size
        inputs[..., :end] = observations
        if self.last_action:
            actions = torch.arange(self.n_actions, device=inputs.device)
            inputs[..., end : end + self.n_actions] = last_actions.unsqueeze(-1) == actions
        return inputs

    def __call__(self, observations: Tensor, last_actions: Tensor) -> Tensor:
        """New inputs [..., N, I]; arguments and errors as in `fill`."""
        inputs = self.blank(*observations.shape[:-2], like=observations)
        return self.fill(inputs, observations, last_actions)

    def check(self, observations: Tensor, last_actions: Tensor, leading: Sequence[int]) -> None:
        """Raises a ValueError if these are not [*leading, N, O] and [*leading, N]."""
        self._check("observations", observations, (*leading, self.n_agents, self.observation_size))
        self._check("last_actions", last_actions, (*leading, self.n_agents))

    @staticmethod
    def _check(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
        if tensor.shape != expected:
            raise ValueError(f"{name} must be {list(expected)}, got {list(tensor.shape)}")


@dataclass(frozen=True)
class EpisodeInputs:
    """The inputs of whole packed episodes, or of a step of P games, before they are laid out.

    Only networks that need them so lay them out. What a network has read is kept for others, so the
    tensors must not change.

    Attributes:
        layout: How they are laid out.
        observations: [P, N, O] of P packed entries.
        last_actions: [P, N] int64, -1 where there is none yet.
    """

    layout: InputLayout
    observations: Tensor
    last_actions: Tensor
    _made: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuses what compiled functions, which check nothing, would read beyond its end.

        Raises:
            ValueError: If a shape does not fit the layout.
        """
        self.layout.check(self.observations, self.last_actions, self.observations.shape[:-2])

    @property
    def shape(self) -> torch.Size:
        """[P, N, I]."""
        return torch.Size([*self.observations.shape[:-1], self.layout.size])

    @property
    def known_actions(self) -> Tensor:
        """[P, N] int64 last actions, -1 for all that the one-hot form has zeros for."""
        last = self.last_actions.long()
        return last.where((last >= 0) & (last < self.layout.n_actions), -1)

    @cached_property
    def tensor(self) -> Tensor:
        """[P, N, I], laid out at the first use and shared by all networks that ask."""
        return self.layout(self.observations, self.last_actions)

    def once(self, what: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` makes of these inputs, made at the first use and shared likewise."""
        if what not in self._made:
            self._made[what] = make()
        return self._made[what]


def laid_out(inputs: Tensor | EpisodeInputs) -> Tensor:
    """[..., N, I], whichever form inputs have."""
    return inputs.tensor if isinstance(inputs, EpisodeInputs) else inputs


def last_actions_of(one_hot: Tensor) -> Tensor | None:
    """Of one-hot last actions [..., A]: [...], -1 for zeros; None if it is something else."""
    if not one_hot.shape[-1]:
        return torch.full(one_hot.shape[:-1], -1)
    most, last = one_hot.max(-1)
    last = torch.where(most > 0, last, -1)
    laid_out_again = last.unsqueeze(-1) == torch.arange(one_hot.shape[-1])
    return last if torch.equal(laid_out_again.to(one_hot.dtype), one_hot) else None
