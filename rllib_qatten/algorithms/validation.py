"""Valid values of settings, and combinations that are not allowed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from rllib_qatten.agents import AGENTS, SHARING
from rllib_qatten.algorithms.kinds import is_number, whole
from rllib_qatten.checkpoints.location import local
from rllib_qatten.errors import BadInput, one_of
from rllib_qatten.rollout.exploration import EpsilonSchedule
from rllib_qatten.rollout.prioritized_replay import check_priority_exponent
from rllib_qatten.training.returns import RETURNS

#: Settings whose value is one of a few names.
CHOICES = {
    "returns": RETURNS,
    "replay": ("uniform", "prioritized"),
    "sampling": ("lockstep", "overlapped"),
    "optimizer_name": ("rmsprop", "adam"),
    "team_reward": ("equal", "sum", "mean"),
    "agent": AGENTS,
    "parameter_sharing": SHARING,
    "precision": ("float32", "bfloat16"),
    # RLlib takes any other unit for timesteps.
    "evaluation_duration_unit": ("episodes", "timesteps"),
    "grad_clip_by": ("value", "norm", "global_norm"),
    "placement_strategy": ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"),
}
#: numpy's generators take 32 bits, and env runners add their number, or a million and it, to it.
MAX_SEED = 4_000_000_000
RANGES = {
    "gamma": (0.0, 1.0),
    "td_lambda": (0.0, 1.0),
    "tau": (1e-6, 1.0),
    "updates_per_episode": (1e-6, 1e6),
}


def check_settings(config: Any) -> None:
    """Checks the settings that all algorithms of the family share; their kinds are known.

    Raises:
        ValueError: For the first fault, with key, value and what is accepted.
    """
    if config.replay_capacity_episodes < config.train_batch_size_episodes:
        raise ValueError(
            "replay_capacity_episodes must be enough for a batch (train_batch_size_episodes): "
            f"{config.train_batch_size_episodes} or more; got {config.replay_capacity_episodes}."
        )
    if config.seed is not None and config.seed > MAX_SEED:
        raise ValueError(f"seed must be {MAX_SEED:,} or less; got {config.seed}.")
    for name, (bottom, top) in RANGES.items():
        in_range(config, name, bottom, top)
    _check_lr(config.lr)
    if config.grad_clip is not None and not (is_number(config.grad_clip) and config.grad_clip > 0):
        raise ValueError(
            f"grad_clip must be positive and finite, or None; got {config.grad_clip!r}."
        )
    for name, choices in CHOICES.items():
        one_of(getattr(config, name), choices, name)
    if config.log_level is not None and not whole(0).fits(config.log_level):
        one_of(config.log_level, logging.getLevelNamesMapping(), "log_level")
    if config.init_from is not None:
        _check_init_from(config.init_from)
    EpsilonSchedule(config.epsilon)
    EpsilonSchedule(config.importance_exponent, "importance_exponent")
    check_priority_exponent(config.priority_exponent)
    _check_returns(config)
    _check_unread(config)
    _check_learners(config)
    if config.sampling == "overlapped" and not (config.num_env_runners or config.in_evaluation):
        raise ValueError(
            "sampling: overlapped needs another process that plays while this one learns, but "
            "num_env_runners is 0: set it to 1 or more, or set sampling: lockstep."
        )
    if not config.enable_rl_module_and_learner or config.framework_str != "torch":
        raise ValueError(f"{config.name} runs on RLlib's new API stack with framework: torch.")


def in_range(config: Any, name: str, low: float, high: float) -> None:
    """Checks one number.

    Raises:
        ValueError: If it is not a number or out of range.
    """
    value = getattr(config, name)
    if not is_number(value) or not low <= value <= high:
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}]; got {value!r}.")


def _check_lr(lr: Any) -> None:
    """Refuses what is neither a learning rate nor a schedule of them."""
    try:
        points = [[0, lr], [1, lr]] if is_number(lr) else [[t, rate] for t, rate in lr]
        times, rates = zip(*points, strict=True)
        good = len(points) > 1 and times[0] == 0 and list(times) == sorted(set(times))
        good = good and all(is_number(rate) and rate > 0 for rate in rates)
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(
            "lr must be a positive number, or a schedule [[0, lr], [env steps, lr], ...] of two or "
            f"more of them with rising env steps; got {lr!r}."
        )


def _check_init_from(init_from: Any) -> None:
    """Refuses what is no place; a path may be gone when a run goes on, which does without."""
    try:
        if not isinstance(init_from, str | Path):
            local(init_from)
    except BadInput as error:
        raise ValueError(f"init_from: {error}") from error


def _check_learners(config: Any) -> None:
    """Refuses what several learners cannot share."""
    if config.num_learners > config.train_batch_size_episodes:
        raise ValueError(
            f"num_learners is {config.num_learners}, but a batch has "
            f"{config.train_batch_size_episodes} episodes (train_batch_size_episodes): each "
            "learner needs one."
        )
    if config.num_learners > 1 and config.counts_padding:
        raise ValueError(
            "reg_over_padding counts padding up to the longest episode of the batch, and each of "
            f"num_learners: {config.num_learners} pads to its own longest: set reg_over_padding "
            "to false, or use one learner."
        )


def _check_returns(config: Any) -> None:
    """Refuses settings of returns other than the chosen kind."""
    if config.returns == "n_step" and config.td_lambda:
        raise ValueError(
            f"returns: n_step does not use lambda, but td_lambda is {config.td_lambda}: set it "
            "to 0, or set returns: td_lambda."
        )
    if config.returns != "n_step" and config.n_step != 1:
        raise ValueError(
            f"n_step is {config.n_step}, but returns: {config.returns} does not use it: set "
            "returns: n_step."
        )


def _check_unread(config: Any) -> None:
    """Refuses what was set for nothing."""
    if config.tau < 1 and config.was_set("target_update_episodes"):
        raise ValueError(
            f"tau is {config.tau}, so target networks move at every update, and "
            f"target_update_episodes: {config.target_update_episodes} is not used: leave one out."
        )
    played_greedily = not config.explore and not config.in_evaluation
    if played_greedily and config.was_set("epsilon") and config.epsilon != 0:
        raise ValueError(
            f"epsilon is {config.epsilon}, but with explore: false all actions are greedy, and "
            "nothing reads it: leave one out."
        )
    defaults = type(config)(config.algo_class)
    for name in ("priority_exponent", "importance_exponent"):
        value = getattr(config, name)
        if config.replay == "uniform" and value != getattr(defaults, name):
            raise ValueError(
                f"{name} is {value}, but replay: uniform does not use it: set replay: prioritized."
            )
