"""Rewards of mean 0 and standard deviation 1, as seen so far."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rllib_qatten.training.across_learners import from_all_learners


class RewardStandardizer(nn.Module):
    """Running mean and variance of all rewards in all batches (as EPyMARL's option has it).

    These are buffers, so that they are saved and restored with the module, in types that RLlib's
    state keeps.

    Attributes:
        count: Number of rewards seen.
        mean: Their mean.
        variance: Their mean squared distance from the mean.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self) -> None:
        """Starts with nothing seen."""
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("variance", torch.zeros(()))

    @torch.no_grad()
    def forward(self, rewards: Tensor, mask: Tensor) -> Tensor:
        """Takes a batch into account and standardizes it.

        Args:
            rewards: [M]; with several learners, this learner's part of the batch.
            mask: [M] bool, False for padding, which is ignored.

        Returns:
            [M]; unscaled as long as all rewards were equal.
        """
        seen = rewards[mask].double()
        moments = torch.stack([seen.new_tensor(len(seen)), seen.mean(), seen.var(correction=0)])
        # Chan et al. 1979: joining two samples' moments, here and those of other learners.
        for count, mean, variance in from_all_learners(moments):
            self.count += count.to(self.count.dtype)
            share = count / self.count
            distance = mean - self.mean
            spread = variance - self.variance + distance.square() * (1 - share)
            self.variance += (share * spread).to(self.variance.dtype)
            self.mean += (share * distance).to(self.mean.dtype)
        scale = torch.where(self.variance > 0, self.variance.sqrt(), 1.0)
        return (rewards - self.mean) / scale
