"""What is minimized: TD errors of the joint action value, as pure functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.utils.metrics import TD_ERROR_KEY
from torch import Tensor

from rllib_qatten import columns, keys
from rllib_qatten.training.returns import lambda_returns, n_step_returns


def targets_of(forward: dict[str, Any], batch: dict[str, Any], config: Any) -> Tensor:
    """Targets of the joint action values: [M], or [M, N] where agents learn independently.

    Args:
        forward: Output of `ValueDecompositionRLModule.mix`.
        batch: The packed batch.
        config: Has gamma, returns, td_lambda and n_step.
    """
    rewards, next_values = batch[Columns.REWARDS], forward[columns.NEXT_Q_TOT]
    # Transitions per step: every entry except the first of its episode ends one.
    batch_sizes = batch[columns.BATCH_SIZES].tolist()[1:]
    played = batch[Columns.TERMINATEDS], next_values, batch[columns.MASK], batch_sizes
    if config.returns == "n_step":
        return n_step_returns(rewards, *played, config.gamma, config.n_step)
    if config.returns == "q_lambda":
        correction = forward[columns.TARGET_GREEDY_Q_TOT] - forward[columns.TARGET_Q_TOT]
        rewards = rewards.view(-1, *[1] * (correction.dim() - 1)) + correction
    return lambda_returns(rewards, *played, config.gamma, config.td_lambda)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of [M] or [M, N] numbers over the transitions where mask [M] is True."""
    mask = mask.view(-1, *[1] * (values.dim() - 1)).expand_as(values)
    return (values * mask).sum() / mask.sum()


def weighted_mean(values: Tensor, batch: dict[str, Any]) -> Tensor:
    """`masked_mean` of errors, each times its episode's weight (see `PrioritizedReplay`)."""
    weights = batch[columns.WEIGHTS].view(-1, *[1] * (values.dim() - 1))
    return masked_mean(values * weights, batch[columns.MASK])


def episode_errors(error: Tensor, batch: dict[str, Any]) -> Tensor:
    """[B] mean absolute error over each episode's real steps, from [M] or [M, N], longest first."""
    mask = batch[columns.MASK].to(error.dtype)
    sizes = batch[columns.BATCH_SIZES].tolist()[1:]
    episode = torch.cat([torch.arange(k) for k in sizes]).to(mask.device)
    per_step = error.abs().flatten(1).mean(1) if error.dim() > 1 else error.abs()
    total, steps = (x.new_zeros(sizes[0]).index_add(0, episode, x) for x in (per_step * mask, mask))
    return total / steps


def td_loss(
    forward: dict[str, Any],
    batch: dict[str, Any],
    config: Any,
    targets: Tensor | None = None,
    weights: Tensor | float = 1.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean squared TD error of the joint action value over real steps, plus the regularizer.

    Args:
        forward: Output of `ValueDecompositionRLModule.mix`. Its Q_TOT may be [M, N] where agents
            learn independently: all get the team's reward, and the mean is over agents too.
        batch: The packed batch.
        config: The algorithm's settings.
        targets: Targets of Q_TOT, if already known; see `targets_of`.
        weights: [M] weights of the squared errors.

    Returns:
        The loss (scalar) and what is logged, all detached; for a prioritized replay with the mean
        errors [B] of the episodes under TD_ERROR_KEY.
    """
    q_tot, mask = forward[columns.Q_TOT], batch[columns.MASK]
    if targets is None:
        targets = targets_of(forward, batch, config)
    error = q_tot - targets
    loss = weighted_mean(weights * error.square(), batch) + forward[columns.REGULARIZER]
    with torch.no_grad():
        stats = {
            keys.TD_ERROR_ABS: masked_mean(error.abs(), mask),
            keys.Q_TOT_MEAN: masked_mean(q_tot, mask),
            keys.TARGET_MEAN: masked_mean(targets, mask),
            **forward[columns.STATS],
        }
        if config.replay == "prioritized":
            stats[TD_ERROR_KEY] = episode_errors(error, batch)
    return loss, stats


def check_loss(owner: str, result: Any, config: Any) -> None:
    """Refuses what is not a loss and its statistics; without reading a number, which a GPU delays.

    Args:
        owner: The Learner's name.
        result: What its `loss` returned.
        config: The algorithm's settings.

    Raises:
        ValueError: With what was returned, and what is expected.
    """
    expected = f"{owner}.loss must return (loss, statistics), as td_loss does"
    if not isinstance(result, tuple) or len(result) != 2:
        raise ValueError(f"{expected}; got {_kind(result)}.")
    loss, stats = result
    if not isinstance(loss, Tensor) or loss.shape != ():
        raise ValueError(
            f"{expected}, the loss a scalar tensor; got {_kind(loss)}. weighted_mean(errors, batch)"
            " makes one of errors [M]."
        )
    if loss.grad_fn is None:
        raise ValueError(
            f"{expected}, but nothing would learn from this loss: it does not depend on the "
            "networks. Compute it from what forward holds by torch, without detach() or no_grad()."
        )
    if not isinstance(stats, dict):
        raise ValueError(f"{expected}, the statistics a dict; got {_kind(stats)}.")
    for name, value in stats.items():
        if name == TD_ERROR_KEY:
            continue
        scalar = value.shape == () if isinstance(value, Tensor) else np.isscalar(value)
        if not scalar or isinstance(value, str | bytes):
            raise ValueError(
                f"{expected}, the statistics numbers or scalar tensors; {name} is {_kind(value)}. "
                "masked_mean(values, batch['mask']) makes one of values [M]."
            )
    if config.replay == "prioritized" and TD_ERROR_KEY not in stats:
        raise ValueError(
            f"{expected}; with replay: prioritized the statistics need '{TD_ERROR_KEY}', the "
            "episodes' errors: episode_errors(error, batch)."
        )


def _kind(value: Any) -> str:
    """What a value is, in a message."""
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)}"
    size = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    return f"{type(value).__name__}{size}"
