"""Targets for the joint action value, as pure functions on packed transitions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def lambda_returns(
    rewards: Tensor,
    terminated: Tensor,
    next_values: Tensor,
    mask: Tensor,
    batch_sizes: Sequence[int],
    gamma: float,
    td_lambda: float,
) -> Tensor:
    """TD(lambda) targets G_t, computed backwards over each episode.

    G_t = r_t + gamma (1 - terminated_t) [(1 - lambda) V_{t+1} + lambda G_{t+1}], where the bracket
    is V_{t+1} alone at an episode's last transition. With lambda 0 this is the one-step target.

    Args:
        rewards: [M] packed transitions, time-major, longest episode first.
        terminated: [M] bool.
        next_values: [M] V_{t+1}, the target network's value of each transition's next entry.
        mask: [M] bool, False for padding, which follows an episode's last transition.
        batch_sizes: Number of transitions at each step, non-increasing, summing to M.
        gamma: Discount per step.
        td_lambda: In [0, 1].

    Returns:
        [M] targets.
    """
    alive = 1.0 - terminated.to(next_values.dtype)
    one_step = rewards + gamma * alive * next_values
    if td_lambda == 0:
        return one_step
    # G = one_step + gamma * alive * lambda * (G' - V') wherever a next transition was played.
    gain = (gamma * td_lambda) * alive
    sizes = list(batch_sizes)
    steps = zip(*(x.split(sizes) for x in (one_step, gain, next_values, mask)), strict=True)
    returns: list[Tensor] = []
    played = later = one_step[:0]
    for base, weight, value, valid in reversed(list(steps)):
        n = len(later)
        current = base.clone()
        current[:n] += played * weight[:n] * (later - value[:n])
        returns.append(current)
        played, later = valid.to(base.dtype), current
    return torch.cat(returns[::-1])
