"""Effective weights dQ_tot/dQ_i: how much the joint value moves with each agent's utility."""

from __future__ import annotations

import math
from typing import Any

import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from torch import Tensor

from rllib_qatten import columns, keys
from rllib_qatten.agents import EpisodeInputs
from rllib_qatten.mixers import Mixed, Mixer
from rllib_qatten.rollout.episode import TeamEpisode
from rllib_qatten.training.batch import PackEpisodes
from rllib_qatten.training.rl_module import ValueDecompositionRLModule
from rllib_qatten.training.selection import utilities_of


def effective_weights(
    module: ValueDecompositionRLModule, batch: dict[str, Any]
) -> tuple[Mixed, Tensor, Tensor]:
    """A policy's mixer applied to a packed batch, and its effective weights, by autograd.

    No parameter gets a gradient.

    Args:
        module: The policy, with a mixer.
        batch: See `rllib_qatten.training.batch.pack`.

    Returns:
        The mixer's outputs, [M, N] utilities of the actions taken, and [M, N] dQ_tot/dQ_i there.
    """
    inputs = EpisodeInputs(module.layout, batch[Columns.OBS], batch[columns.LAST_ACTIONS])
    with torch.no_grad():
        utilities = module.agent(inputs, batch[columns.BATCH_SIZES])
    utilities.requires_grad_()
    now, actions = batch[columns.NOW], batch[Columns.ACTIONS]
    mixed = module.live_value(batch, now, utilities, actions)
    # A step's Q_tot depends on no other step's utilities.
    (gradient,) = torch.autograd.grad(mixed.q_tot.sum(), utilities)
    taken = utilities_of(utilities, now, actions).detach()
    return mixed, taken, utilities_of(gradient, now, actions)


def report(learner: Any, episodes: list[TeamEpisode]) -> dict[str, float]:
    """What is logged about a learner's policy, see `keys.KEYS`; nothing if it has no mixer.

    Args:
        learner: RLlib's; it is not changed.
        episodes: Means are taken over their steps.
    """
    module = learner.module[DEFAULT_MODULE_ID].unwrapped()
    if not isinstance(module.mixer, Mixer):
        return {}
    pack = PackEpisodes()
    batch = pack(rl_module=learner.module, batch={}, episodes=episodes)[DEFAULT_MODULE_ID]
    _, _, weights = effective_weights(module, batch)
    return summary(weights, batch[columns.ALIVE][batch[columns.NOW]])


def unlearned(learner: Any) -> dict[str, float]:
    """NaN under the keys of what a learner and `report` say once something was learned."""
    names = list(learner.logged)
    module = learner.module[DEFAULT_MODULE_ID].unwrapped()
    if isinstance(module.mixer, Mixer):
        names += map(keys.HEAD_ENTROPY.format, range(module.mixer.n_heads))
        # A team of any weights has the keys.
        names += summary(*torch.ones(2, 1, module.spec.n_agents))
    return dict.fromkeys(names, math.nan)


def summary(weights: Tensor, alive: Tensor) -> dict[str, float]:
    """Means over steps, living agents only.

    Args:
        weights: [M, N] effective weights.
        alive: [M, N] bool.
    """
    living = alive.sum(-1).clamp(min=1)
    mean = (weights * alive).sum(-1) / living
    spread = ((weights - mean.unsqueeze(-1)).square() * alive).sum(-1).div(living).sqrt()
    anybody = alive.any(-1)
    of_agents = (weights * alive).sum(0) / alive.sum(0)  # NaN for one that never lived
    found = {
        keys.EFFECTIVE_WEIGHT_MEAN: float(mean[anybody].mean()),
        keys.EFFECTIVE_WEIGHT_STD: float(spread[anybody].mean()),
    }
    return found | {
        keys.AGENT_EFFECTIVE_WEIGHT.format(i): x for i, x in enumerate(of_agents.tolist())
    }
