"""Targets for the joint action value, as pure functions on packed transitions.

Shapes: M packed transitions, time-major, longest episode first. `next_values` may be [M] or, where
every agent learns a value of its own, [M, N]; rewards, ends and masks are always [M].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rllib_qatten.compiled.compiler import kernels

RETURNS = ("td_lambda", "q_lambda", "n_step")


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

    Q(lambda) as PyMARL2 computes it (after Harutyunyan et al. 2016) is the same with corrected
    rewards r_t + V_t - Q(s_t, a_t), where V and Q are the target network's values of the greedy and
    of the actions taken. The paper corrects the later steps alone. Here the step itself is
    corrected, too, whatever lambda: the value of an action that is not greedy settles halfway
    between its return and V.

    Args:
        rewards: [M], or [M, N] if corrected per agent.
        terminated: [M] bool.
        next_values: [M] or [M, N], V_{t+1}: the target network's value of each transition's next
            entry.
        mask: [M] bool, False for padding, which follows an episode's last transition.
        batch_sizes: Number of transitions at each step, non-increasing, summing to M.
        gamma: Discount per step.
        td_lambda: In [0, 1].

    Returns:
        Targets in the shape of next_values.

    Raises:
        ValueError: A shape is not as above.
    """
    _check(rewards, terminated, next_values, mask, batch_sizes)
    tensors = rewards, next_values
    usual = all(t.dtype == torch.float32 for t in tensors)
    if usual and not any(t.requires_grad for t in tensors) and kernels("selection") is not None:
        return _compiled(rewards, terminated, next_values, mask, batch_sizes, gamma, td_lambda)
    rewards, mask = _like(rewards, next_values), _like(mask, next_values)
    discount = gamma * _continues(terminated, next_values)
    one_step = rewards + discount * next_values
    if td_lambda == 0:
        return one_step
    # G = one_step + gamma * alive * lambda * (G' - V') wherever there is a next transition.
    sizes = list(batch_sizes)
    parts = (one_step, discount * td_lambda, next_values, mask)
    steps = zip(*(x.split(sizes) for x in parts), strict=True)
    returns: list[Tensor] = []
    played = later = one_step[:0]
    for base, weight, value, valid in reversed(list(steps)):
        n = len(later)
        current = base.clone()
        current[:n] += played * weight[:n] * (later - value[:n])
        returns.append(current)
        played, later = valid.to(base.dtype), current
    return torch.cat(returns[::-1])


def _compiled(
    rewards: Tensor,
    terminated: Tensor,
    next_values: Tensor,
    mask: Tensor,
    batch_sizes: Sequence[int],
    gamma: float,
    td_lambda: float,
) -> Tensor:
    """`lambda_returns` by its compiled function.

    On the CPU wherever the tensors are: a GPU would be given several small products per step.
    """
    device = next_values.device
    rewards, terminated, next_values, mask = (
        t.cpu() for t in (rewards, terminated, next_values, mask)
    )
    returns = torch.empty_like(next_values, memory_format=torch.contiguous_format)
    m = len(returns)
    kernels("selection").lambda_returns(
        rewards.contiguous().view(m, -1).numpy(),
        terminated.numpy(),
        next_values.contiguous().view(m, -1).numpy(),
        mask.numpy(),
        np.asarray(batch_sizes, np.int64),
        gamma,
        td_lambda,
        returns.view(m, -1).numpy(),
    )
    return returns.to(device)


def n_step_returns(
    rewards: Tensor,
    terminated: Tensor,
    next_values: Tensor,
    mask: Tensor,
    batch_sizes: Sequence[int],
    gamma: float,
    n_step: int,
) -> Tensor:
    """Targets r_t + gamma r_{t+1} + ... + gamma^n V_{t+n}, fewer steps where the episode is over.

    Arguments and result are those of `lambda_returns`, with n_step (n, 1 or more) for td_lambda.
    """
    _check(rewards, terminated, next_values, mask, batch_sizes)
    sizes = torch.as_tensor(batch_sizes)
    place = torch.arange(len(rewards))
    begins = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    later = (place + sizes.repeat_interleave(sizes)).clamp(max=len(rewards) - 1)
    has_next = place - begins < torch.cat([sizes[1:], sizes.new_zeros(1)]).repeat_interleave(sizes)
    later = later.to(rewards.device)
    has_next = _like(has_next.to(mask.device) & mask[later], next_values)
    rewards = _like(rewards, next_values)
    discount = gamma * _continues(terminated, next_values)
    returns = rewards + discount * next_values
    for _ in range(n_step - 1):
        returns = rewards + discount * torch.where(has_next, returns[later], next_values)
    return returns


def _check(
    rewards: Tensor,
    terminated: Tensor,
    next_values: Tensor,
    mask: Tensor,
    batch_sizes: Sequence[int],
) -> None:
    """Makes sure of the shapes: compiled functions would read and write beyond a tensor's end."""
    given = (rewards, terminated, next_values, mask)
    shapes = rewarded, ended, values, real = [tuple(x.shape) for x in given]
    rows = (int(sum(batch_sizes)),)
    if values[:1] == rows == ended == real and rewarded in (rows, values) and len(values) <= 2:
        return
    names = ("rewards", "terminated", "next_values", "mask")
    got = ", ".join(f"{n} {list(shape)}" for n, shape in zip(names, shapes, strict=True))
    raise ValueError(
        f"Targets of M = {rows[0]} transitions (the sum of batch_sizes) need rewards, terminated "
        f"and mask [M], and next_values [M] or [M, N]; got {got}."
    )


def _like(x: Tensor, values: Tensor) -> Tensor:
    """One number per transition, in a shape that broadcasts with values [M] or [M, N]."""
    return x.reshape(*x.shape, *[1] * (values.dim() - x.dim()))


def _continues(terminated: Tensor, values: Tensor) -> Tensor:
    return 1.0 - _like(terminated, values).to(values.dtype)
