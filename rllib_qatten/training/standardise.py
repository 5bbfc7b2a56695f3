"""Rewards of mean 0 and standard deviation 1, as seen so far."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RewardStandardiser(nn.Module):
    """Running mean and variance of all rewards in all batches (as EPyMARL's option has it).

    Buffers, so that they are saved and restored with the module: in types that RLlib's state keeps.

    Attributes:
        count: Rewards seen.
        mean: Of these.
        variance: Of these, their mean squared distance from the mean.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self) -> None:
        """Nothing seen yet."""
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("variance", torch.zeros(()))

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
        # Chan et al. 1979: joining two samples' moments.
        self.count += len(seen)
        share = len(seen) / self.count
        distance = seen.mean() - self.mean
        spread = seen.var(correction=0) - self.variance + distance.square() * (1 - share)
        self.variance += (share * spread).to(self.variance.dtype)
        self.mean += (share * distance).to(self.mean.dtype)
        scale = torch.where(self.variance > 0, self.variance.sqrt(), 1.0)
        return (rewards - self.mean) / scale
