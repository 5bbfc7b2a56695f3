"""Rewards of mean 0 and standard deviation 1, as seen so far."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RewardStandardiser(nn.Module):
    """Running mean and variance of all rewards in all batches (as EPyMARL's option has it).

    Buffers, so that they are saved and restored with the module.

    Attributes:
        count: Rewards seen.
        mean: Of these.
        squares: Sum of their squared distances from the mean.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self) -> None:
        """Nothing seen yet."""
        super().__init__()
        for name in ("count", "mean", "squares"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def forward(self, rewards: Tensor, mask: Tensor) -> Tensor:
        """Takes a batch into account and standardises it.

        Args:
            rewards: [M].
            mask: [M] bool, False for padding, which does not count.

        Returns:
            [M]; unscaled as long as all rewards were equal.
        """
        seen = rewards[mask].double()
        mean, total = seen.mean(), self.count + len(seen)
        distance = mean - self.mean
        # Chan et al. 1979: joining two samples' moments.
        self.squares += (seen - mean).square().sum()
        self.squares += distance.square() * self.count * len(seen) / total
        self.mean += distance * len(seen) / total
        self.count.copy_(total)
        deviation = (self.squares / self.count).sqrt()
        scale = torch.where(deviation > 0, deviation, 1.0)
        return ((rewards - self.mean) / scale).to(rewards.dtype)
