"""WQMIX: QMIX that weighs overestimated actions less (Rashid et al. 2020, arXiv 2006.10800)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.utils.annotations import override
from torch import Tensor, nn

from rllib_qatten import columns, keys
from rllib_qatten.agents import EpisodeInputs, unroll
from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.validation import in_range
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.mixers import CentralMixer, Mixed, QMixer
from rllib_qatten.training.learner import ValueDecompositionTorchLearner
from rllib_qatten.training.losses import masked_mean, targets_of, td_loss, weighted_mean
from rllib_qatten.training.rl_module import ValueDecompositionRLModule
from rllib_qatten.training.selection import greedy_actions

CENTRAL_UTILITIES = "central_utilities"
TARGET_CENTRAL_UTILITIES = "target_central_utilities"
CENTRAL_Q = "central_q"
#: Central target value of the greedy joint action, and whether it was the one taken.
GREEDY_CENTRAL_Q = "greedy_central_q"
TOOK_GREEDY = "took_greedy"


class WQMIXRLModule(ValueDecompositionRLModule):
    """The policy of WQMIX: QMIX's, and an unrestricted central Q* with its own agent networks.

    Targets come from the central networks; QMIX chooses the actions.
    """

    mixer_class = QMixer

    @override(ValueDecompositionRLModule)
    def setup(self) -> None:
        """Adds the central networks."""
        super().setup()
        if not self.inference_only:
            spec = self.spec
            self.central_agent = self.make_agent()
            self.central_mixer = CentralMixer(spec.n_agents, spec.state_size)

    @override(ValueDecompositionRLModule)
    def _forward_train(self, batch: dict[str, Any]) -> dict[str, Any]:
        inputs = EpisodeInputs(self.layout, batch[Columns.OBS], batch[columns.LAST_ACTIONS])
        sizes = batch[columns.BATCH_SIZES]
        utilities, target_utilities = unroll(self.agent, self.target_agent, inputs, sizes)
        central, target_central = unroll(
            self.central_agent, self.target_central_agent, inputs, sizes
        )
        names = {CENTRAL_UTILITIES: central, TARGET_CENTRAL_UTILITIES: target_central}
        return self.mix({**batch, **names}, utilities, target_utilities)

    @override(ValueDecompositionRLModule)
    def target_value(
        self, batch: dict[str, Any], rows: Tensor | slice, utilities: Tensor, actions: Tensor
    ) -> Mixed:
        """The central mixer's value of the target central agents' utilities."""
        central = batch[TARGET_CENTRAL_UTILITIES]
        return self.joint_value(self.target_mixer, batch, rows, central, actions)

    @override(ValueDecompositionRLModule)
    def mix(
        self, batch: dict[str, Any], utilities: Tensor, target_utilities: Tensor
    ) -> dict[str, Any]:
        """QMIX's; adds CENTRAL_Q [M] with gradient, GREEDY_CENTRAL_Q [M] and TOOK_GREEDY [M]."""
        forward = super().mix(batch, utilities, target_utilities)
        now, actions = batch[columns.NOW], batch[Columns.ACTIONS]
        forward[CENTRAL_Q] = self.joint_value(
            self.central_mixer, batch, now, batch[CENTRAL_UTILITIES], actions
        ).q_tot
        with torch.no_grad():
            best = greedy_actions(utilities[now], batch[columns.LEGAL_ACTIONS][now])
            forward[GREEDY_CENTRAL_Q] = self.target_value(batch, now, target_utilities, best).q_tot
            forward[TOOK_GREEDY] = (best == actions).all(-1)
        return forward

    @override(ValueDecompositionRLModule)
    def make_target_networks(self) -> None:
        """Copies agents and the central mixer; QMIX's own mixer is not used for targets."""
        self.target_agent = make_target_network(self.agent)
        self.target_central_agent = make_target_network(self.central_agent)
        self.target_mixer = make_target_network(self.central_mixer)

    @override(ValueDecompositionRLModule)
    def get_target_network_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """See base class."""
        return [
            (self.agent, self.target_agent),
            (self.central_agent, self.target_central_agent),
            (self.central_mixer, self.target_mixer),
        ]

    @override(ValueDecompositionRLModule)
    def get_non_inference_attributes(self) -> list[str]:
        """See base class."""
        central = ["central_agent", "central_mixer", "target_central_agent"]
        return [*super().get_non_inference_attributes(), *central]


def weighted_td_loss(
    forward: dict[str, Any],
    batch: dict[str, Any],
    config: Any,
    *,
    weighting: Literal["ow", "cw"] = "ow",
    alpha: float = 0.1,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted TD loss plus the central one.

    An error has weight 1 if (optimistic) Q_tot is below its target, or (central) the action is
    greedy or its target exceeds the greedy action's value; otherwise alpha.

    Args:
        forward: Output of `WQMIXRLModule.mix`.
        batch: The packed batch.
        config: The settings that all algorithms share.
        weighting: "ow" (optimistic) or "cw" (central).
        alpha: weight in (0, 1] of the errors that count less.
    """
    targets = targets_of(forward, batch, config)
    if weighting == "ow":
        full = forward[columns.Q_TOT] < targets
    else:
        full = forward[TOOK_GREEDY] | (targets > forward[GREEDY_CENTRAL_Q])
    weights = torch.where(full, 1.0, alpha)
    loss, stats = td_loss(forward, batch, config, targets, weights)
    central = weighted_mean((forward[CENTRAL_Q] - targets).square(), batch)
    stats[keys.CENTRAL_LOSS] = central.detach()
    stats[keys.WEIGHT_MEAN] = masked_mean(weights, batch[columns.MASK])
    return loss + central, stats


class WQMIXTorchLearner(ValueDecompositionTorchLearner):
    """Weighs QMIX's squared errors, and fits the central Q* to the same targets."""

    logged = (*ValueDecompositionTorchLearner.logged, keys.CENTRAL_LOSS, keys.WEIGHT_MEAN)

    @staticmethod
    def loss(
        forward: dict[str, Any], batch: dict[str, Any], config: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `weighted_td_loss`."""
        return weighted_td_loss(forward, batch, config, **config.values_of(weighted_td_loss))


class WQMIXConfig(ValueDecompositionConfig):
    """Settings of WQMIX; the defaults are the authors'."""

    rl_module_class = WQMIXRLModule
    default_learner_class = WQMIXTorchLearner
    option_sources = (weighted_td_loss,)

    @override(ValueDecompositionConfig)
    def validate(self) -> None:
        """See base class."""
        super().validate()
        in_range(self, "alpha", 1e-6, 1.0)


class WQMIX(ValueDecomposition):
    """QMIX with a weighted loss and central targets."""

    config_class = WQMIXConfig
