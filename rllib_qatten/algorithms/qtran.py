"""QTRAN: utilities are fitted to a free joint action value (Son et al. 2019, arXiv 1905.05408)."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.annotations import override
from torch import Tensor, nn

from rllib_qatten import metrics as keys
from rllib_qatten.algorithms.qmix import QMIX
from rllib_qatten.algorithms.qmix_config import QMIXConfig
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.mixers import Mixed
from rllib_qatten.mixers.qtran import QTRANCritic
from rllib_qatten.mixers.qtran_alt import QTRANAltCritic
from rllib_qatten.suggest import one_of
from rllib_qatten.training import batch as columns
from rllib_qatten.training.learner import QMIXTorchLearner
from rllib_qatten.training.losses import masked_mean, td_loss
from rllib_qatten.training.module import ILLEGAL, QMIXRLModule, greedy_actions, utilities_of

HIDDEN = "hidden"
TARGET_HIDDEN = "target_hidden"
#: What the two conditions on the utilities miss: zero where they hold.
OPT_GAP = "opt_gap"
NOPT_GAP = "nopt_gap"


class QTRANRLModule(QMIXRLModule):
    """The policy of QTRAN-base: a joint critic on the agents' hidden states stands for the mixer.

    Acting uses the utilities alone. They are to obey, for the critic's Q_jt and V (theorem 1),

        sum_i Q_i(u_i) - Q_jt(u) + V  = 0 for the greedy joint action, >= 0 for all others.
    """

    mixer_name = "qtran"

    @classmethod
    @override(QMIXRLModule)
    def make_mixer(cls, spec: TeamSpec, settings: dict[str, Any]) -> nn.Module:
        """The joint critic."""
        sizes = (spec.n_agents, spec.state_size, spec.n_actions, settings["hidden_size"])
        return QTRANCritic(*sizes, **settings["mixer"])

    @override(QMIXRLModule)
    def _forward_train(self, batch: dict[str, Any]) -> dict[str, Any]:
        inputs = self.layout(batch[Columns.OBS], batch[columns.LAST_ACTIONS])
        sizes = batch[columns.BATCH_SIZES]
        hidden = self.agent.hidden_states(inputs, sizes)
        with torch.no_grad():
            target_hidden = self.target_agent.hidden_states(inputs, sizes)
            target_utilities = self.target_agent.head(target_hidden)
        batch = {**batch, HIDDEN: hidden, TARGET_HIDDEN: target_hidden}
        return self.mix(batch, self.agent.head(hidden), target_utilities)

    @override(QMIXRLModule)
    def joint_value(
        self,
        mixer: nn.Module,
        batch: dict[str, Any],
        rows: Tensor | slice,
        utilities: Tensor,
        actions: Tensor,
        **options: Tensor,
    ) -> Mixed:
        """The critic's Q_jt [R]; HIDDEN and TARGET_HIDDEN [P, N, h] in the batch are its inputs."""
        hidden = batch[HIDDEN if mixer is self.mixer else TARGET_HIDDEN]
        return Mixed(self._critic_value(mixer, batch[columns.STATE][rows], hidden[rows], actions))

    @override(QMIXRLModule)
    def mix(
        self, batch: dict[str, Any], utilities: Tensor, target_utilities: Tensor
    ) -> dict[str, Any]:
        """QMIX's, with the critic's values; adds OPT_GAP and NOPT_GAP, per transition."""
        forward = super().mix(batch, utilities, target_utilities)
        now = batch[columns.NOW]
        state, hidden = batch[columns.STATE][now], batch[HIDDEN][now]
        legal, actions = batch[columns.LEGAL_ACTIONS][now], batch[Columns.ACTIONS]
        best = greedy_actions(utilities[now].detach(), legal)
        total, total_best = (utilities_of(utilities, now, a).sum(-1) for a in (actions, best))
        value = self._state_value(state, hidden)
        with torch.no_grad():
            joint_best = self._critic_value(self.mixer, state, hidden, best)
        forward[OPT_GAP] = _per(joint_best, total_best + value) - joint_best
        forward[NOPT_GAP] = self._nopt_gap(forward, batch, utilities, total, value)
        return forward

    @staticmethod
    def _critic_value(critic: Any, state: Tensor, hidden: Tensor, actions: Tensor) -> Tensor:
        value: Tensor = critic.joint_value(state, hidden, actions)
        return value

    def _state_value(self, state: Tensor, hidden: Tensor) -> Tensor:
        value: Tensor = self.mixer.state_value(state)
        return value

    def _nopt_gap(
        self,
        forward: dict[str, Any],
        batch: dict[str, Any],
        utilities: Tensor,
        total: Tensor,
        value: Tensor,
    ) -> Tensor:
        """min(sum_i Q_i(u_i) - Q_jt(u) + V, 0) [M] for the actions taken."""
        return (total - forward["q_tot"].detach() + value).clamp(max=0)


class QTRANAltRLModule(QTRANRLModule):
    """The policy of QTRAN-alt: each agent's critic gives Q_jt for all its own actions at once.

    The second condition is then tightened (theorem 2): for every agent, the least gap over its own
    actions, the others' as they were, is to be zero. Joint values are [M, N], one estimate of the
    same Q_jt(u) per agent.
    """

    mixer_name = "qtran_alt"

    @classmethod
    @override(QTRANRLModule)
    def make_mixer(cls, spec: TeamSpec, settings: dict[str, Any]) -> nn.Module:
        """The counterfactual critic; QTRAN-base's architectures do not apply."""
        sizes = (spec.n_agents, spec.state_size, spec.n_actions, settings["hidden_size"])
        return QTRANAltCritic(*sizes, mixing_embed_dim=settings["mixer"]["mixing_embed_dim"])

    @staticmethod
    def _critic_value(critic: Any, state: Tensor, hidden: Tensor, actions: Tensor) -> Tensor:
        values: Tensor = critic.joint_values(state, hidden, actions)
        return values.gather(-1, actions.unsqueeze(-1)).squeeze(-1)

    def _state_value(self, state: Tensor, hidden: Tensor) -> Tensor:
        value: Tensor = self.mixer.state_value(state, hidden)
        return value

    def _nopt_gap(
        self,
        forward: dict[str, Any],
        batch: dict[str, Any],
        utilities: Tensor,
        total: Tensor,
        value: Tensor,
    ) -> Tensor:
        """min over legal own actions of Q'_jt - Q_jt + V: [M, N]."""
        now, actions = batch[columns.NOW], batch[Columns.ACTIONS]
        with torch.no_grad():
            joint = self.mixer.joint_values(batch[columns.STATE][now], batch[HIDDEN][now], actions)
        others = total.unsqueeze(-1) - utilities_of(utilities, now, actions)
        gaps = utilities[now] + (others + value.unsqueeze(-1)).unsqueeze(-1) - joint
        return (gaps - (~batch[columns.LEGAL_ACTIONS][now]) * ILLEGAL).amin(-1)


def _per(values: Tensor, x: Tensor) -> Tensor:
    """x [M] in a shape that goes with values [M] or [M, N]."""
    return x.view(-1, *[1] * (values.dim() - 1))


class QTRANTorchLearner(QMIXTorchLearner):
    """Adds the two conditions on the utilities to the joint critic's TD loss."""

    @staticmethod
    def loss(
        forward: dict[str, Any], batch: dict[str, Any], config: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """L_td + opt_loss L_opt + nopt_min_loss L_nopt; arguments as in `td_loss`."""
        loss, stats = td_loss(forward, batch, config)
        opt, nopt = (
            masked_mean(forward[gap].square(), batch[columns.MASK]) for gap in (OPT_GAP, NOPT_GAP)
        )
        loss = loss + config.opt_loss * opt + config.nopt_min_loss * nopt
        return loss, stats | {keys.OPT_LOSS: opt.detach(), keys.NOPT_LOSS: nopt.detach()}


class QTRANConfig(QMIXConfig):
    """Settings of QTRAN; the defaults are PyMARL's."""

    rl_module_class = QTRANRLModule
    mixer_options = ("qtran_arch", "network_size", "mixing_embed_dim")

    def __init__(self, algo_class: type[Algorithm] | None = None) -> None:
        """Sets the defaults."""
        super().__init__(algo_class or QTRAN)
        self.variant = "base"
        self.qtran_arch = "qtran_paper"
        self.network_size = "small"
        self.mixing_embed_dim = 64
        self.opt_loss = 1.0
        self.nopt_min_loss = 0.1

    @override(QMIXConfig)
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

    @override(QMIXConfig)
    def validate(self) -> None:
        """See base class."""
        one_of(self.variant, VARIANTS, "variant")
        super().validate()
        for name in ("opt_loss", "nopt_min_loss"):
            self._in_range(name, 0.0, 1e6)

    @property
    def rl_module_class(self) -> type[QTRANRLModule]:
        """The policy of the variant."""
        return VARIANTS[self.variant]

    @override(QMIXConfig)
    def get_default_learner_class(self) -> type[QTRANTorchLearner]:
        """QTRAN's own losses."""
        return QTRANTorchLearner


VARIANTS = {"base": QTRANRLModule, "alt": QTRANAltRLModule}


class QTRAN(QMIX):
    """QMIX's loop with a joint critic in place of a mixer."""

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> QTRANConfig:
        """See base class."""
        return QTRANConfig(cls)
