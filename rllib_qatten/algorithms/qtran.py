"""QTRAN: utilities are fitted to a free joint action value (Son et al. 2019, arXiv 1905.05408)."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.core.columns import Columns
from ray.rllib.utils.annotations import override
from torch import Tensor, nn

from rllib_qatten import columns, keys
from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.validation import in_range
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.errors import one_of
from rllib_qatten.mixers import Mixed
from rllib_qatten.mixers.qtran import QTRANCritic
from rllib_qatten.mixers.qtran_alt import QTRANAltCritic
from rllib_qatten.training.learner import ValueDecompositionTorchLearner
from rllib_qatten.training.losses import td_loss, weighted_mean
from rllib_qatten.training.rl_module import (
    ILLEGAL,
    ValueDecompositionRLModule,
    greedy_actions,
    utilities_of,
)

HIDDEN = "hidden"
TARGET_HIDDEN = "target_hidden"
#: What the two conditions on the utilities miss: zero where they hold.
OPT_GAP = "opt_gap"
NOPT_GAP = "nopt_gap"
VARIANTS = ("base", "alt")
#: Default architecture and size of the base variant's critic.
SIZES = ("qtran_paper", "small")


class QTRANRLModule(ValueDecompositionRLModule):
    """The policy of QTRAN: a joint critic on the agents' hidden states stands for the mixer.

    Acting uses the utilities alone. They are to obey, for the critic's Q_jt and V (theorem 1),

        sum_i Q_i(u_i) - Q_jt(u) + V  = 0 for the greedy joint action, >= 0 for all others.

    QTRAN-alt tightens the second condition (theorem 2): for every agent, the least gap over its own
    actions, the others' as they were, is to be zero. Its critic gives each agent Q_jt for all own
    actions at once, so joint values are [M, N]: one estimate of the same Q_jt(u) per agent.
    """

    mixer_name = "qtran"

    @classmethod
    @override(ValueDecompositionRLModule)
    def make_mixer(cls, spec: TeamSpec, settings: dict[str, Any]) -> nn.Module:
        """The joint critic."""
        sizes = (spec.n_agents, spec.state_size, spec.n_actions, settings["hidden_size"])
        options = dict(settings["mixer"])
        if options.pop("variant") == "base":
            return QTRANCritic(*sizes, **options)
        return QTRANAltCritic(*sizes, mixing_embed_dim=options["mixing_embed_dim"])

    @override(ValueDecompositionRLModule)
    def _forward_train(self, batch: dict[str, Any]) -> dict[str, Any]:
        inputs = self.layout(batch[Columns.OBS], batch[columns.LAST_ACTIONS])
        sizes = batch[columns.BATCH_SIZES]
        hidden = self.agent.hidden_states(inputs, sizes)
        with torch.no_grad():
            target_hidden = self.target_agent.hidden_states(inputs, sizes)
            target_utilities = self.target_agent.head(target_hidden)
        batch = {**batch, HIDDEN: hidden, TARGET_HIDDEN: target_hidden}
        return self.mix(batch, self.agent.head(hidden), target_utilities)

    @override(ValueDecompositionRLModule)
    def joint_value(
        self,
        mixer: Any,
        batch: dict[str, Any],
        rows: Tensor | slice,
        utilities: Tensor,
        actions: Tensor,
        **options: Tensor,
    ) -> Mixed:
        """The critic's Q_jt [R] or [R, N]; it reads HIDDEN or TARGET_HIDDEN [P, N, h] in batch."""
        hidden = batch[HIDDEN if mixer is self.mixer else TARGET_HIDDEN]
        return Mixed(_value(mixer, batch[columns.STATE][rows], hidden[rows], actions))

    @override(ValueDecompositionRLModule)
    def mix(
        self, batch: dict[str, Any], utilities: Tensor, target_utilities: Tensor
    ) -> dict[str, Any]:
        """QMIX's, with the critic's values; adds OPT_GAP and NOPT_GAP [M] or [M, N]."""
        forward = super().mix(batch, utilities, target_utilities)
        now, actions = batch[columns.NOW], batch[Columns.ACTIONS]
        critic: Any = self.mixer
        state, hidden = batch[columns.STATE][now], batch[HIDDEN][now]
        legal = batch[columns.LEGAL_ACTIONS][now]
        best = greedy_actions(utilities[now].detach(), legal)
        taken = utilities_of(utilities, now, actions)
        total = utilities_of(utilities, now, best).sum(-1)
        if isinstance(critic, QTRANCritic):
            value = critic.state_value(state)
            gap = taken.sum(-1) - forward[columns.Q_TOT].detach() + value
            forward[NOPT_GAP] = gap.clamp(max=0)
            with torch.no_grad():
                joint = _value(critic, state, hidden, best)
            forward[OPT_GAP] = total - joint + value
            return forward
        value = critic.state_value(state, hidden).unsqueeze(-1)
        with torch.no_grad():
            joint = _value(critic, state, hidden, best)
            counterfactual = critic.joint_values(state, hidden, actions)
        forward[OPT_GAP] = total.unsqueeze(-1) - joint + value
        others = taken.sum(-1, keepdim=True) - taken
        gaps = utilities[now] + (others + value).unsqueeze(-1) - counterfactual
        forward[NOPT_GAP] = (gaps - (~legal) * ILLEGAL).amin(-1)
        return forward


def _value(critic: Any, state: Tensor, hidden: Tensor, actions: Tensor) -> Tensor:
    """Q_jt of joint actions [R, N]: [R], or QTRAN-alt's [R, N]."""
    if isinstance(critic, QTRANCritic):
        return critic.joint_value(state, hidden, actions)
    values: Tensor = critic.joint_values(state, hidden, actions)
    return values.gather(-1, actions.unsqueeze(-1)).squeeze(-1)


class QTRANTorchLearner(ValueDecompositionTorchLearner):
    """Adds the two conditions on the utilities to the joint critic's TD loss."""

    @staticmethod
    def loss(
        forward: dict[str, Any], batch: dict[str, Any], config: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """L_td + opt_loss L_opt + nopt_min_loss L_nopt; arguments as in `td_loss`."""
        loss, stats = td_loss(forward, batch, config)
        opt, nopt = (weighted_mean(forward[gap].square(), batch) for gap in (OPT_GAP, NOPT_GAP))
        loss = loss + config.opt_loss * opt + config.nopt_min_loss * nopt
        return loss, stats | {keys.OPT_LOSS: opt.detach(), keys.NOPT_LOSS: nopt.detach()}


class QTRANConfig(ValueDecompositionConfig):
    """Settings of QTRAN; the defaults are PyMARL's."""

    rl_module_class = QTRANRLModule
    mixer_options = ("variant", "qtran_arch", "network_size", "mixing_embed_dim")

    def __init__(self, algo_class: type[Algorithm] | None = None) -> None:
        """Sets the defaults."""
        super().__init__(algo_class or QTRAN)
        self.variant = "base"
        self.qtran_arch, self.network_size = SIZES
        self.mixing_embed_dim = 64
        self.opt_loss = 1.0
        self.nopt_min_loss = 0.1

    @override(ValueDecompositionConfig)
    def training(
        self,
        *,
        variant: str | None = NotProvided,
        qtran_arch: str | None = NotProvided,
        network_size: str | None = NotProvided,
        opt_loss: float | None = NotProvided,
        nopt_min_loss: float | None = NotProvided,
        **kwargs: Any,
    ) -> QTRANConfig:
        """Sets what concerns learning.

        Args:
            variant: "base", or "alt" with counterfactual critics.
            qtran_arch: Critic of the base variant: "qtran_paper" on hidden states and actions, or
                "coma_critic" on the state and actions.
            network_size: "small" or "big", of the base variant's critic.
            opt_loss: Factor of the loss on greedy actions.
            nopt_min_loss: Factor of the loss on the actions taken; for "alt" 1 is usual.
            **kwargs: QMIX's and RLlib's own.

        Returns:
            This config.
        """
        given = {k: v for k, v in locals().items() if k not in ("self", "kwargs", "__class__")}
        super().training(**kwargs)
        return self._take(given)

    @override(ValueDecompositionConfig)
    def validate(self) -> None:
        """See base class."""
        one_of(self.variant, VARIANTS, "variant")
        if self.variant == "alt" and (self.qtran_arch, self.network_size) != SIZES:
            raise ValueError(
                "variant alt has a critic of its own, which qtran_arch and network_size do not "
                "change: leave them out, or take variant base."
            )
        super().validate()
        for name in ("opt_loss", "nopt_min_loss"):
            in_range(self, name, 0.0, 1e6)

    @override(ValueDecompositionConfig)
    def get_default_learner_class(self) -> type[QTRANTorchLearner]:
        """QTRAN's own losses."""
        return QTRANTorchLearner


class QTRAN(ValueDecomposition):
    """QMIX's loop with a joint critic in place of a mixer."""

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> QTRANConfig:
        """See base class."""
        return QTRANConfig(cls)
