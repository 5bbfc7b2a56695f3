"""QTRAN: utilities are fitted to a free joint action value (Son et al. 2019, arXiv 1905.05408)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.utils.annotations import override
from torch import Tensor, nn

from rllib_qatten import columns, keys
from rllib_qatten.agents import EpisodeInputs
from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.validation import in_range
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.mixers import Mixed
from rllib_qatten.mixers.options import Option, options_of
from rllib_qatten.mixers.qtran import QTRANCritic
from rllib_qatten.mixers.qtran_alt import QTRANAltCritic
from rllib_qatten.rollout.exploration import ILLEGAL
from rllib_qatten.training.learner import ValueDecompositionTorchLearner
from rllib_qatten.training.losses import td_loss, weighted_mean
from rllib_qatten.training.rl_module import ValueDecompositionRLModule
from rllib_qatten.training.selection import greedy_actions, utilities_of

TARGET_HIDDEN = "target_hidden"
#: Violations of the two conditions on the utilities: zero where they hold.
OPT_GAP = "opt_gap"
NOPT_GAP = "nopt_gap"
#: Variant -> critic.
CRITICS: dict[str, Any] = {"base": QTRANCritic, "alt": QTRANAltCritic}


def critic_class(*, variant: Literal["base", "alt"] = "base") -> Any:
    """The critic of a variant.

    Args:
        variant: "base", or "alt" with counterfactual critics.
    """
    return CRITICS[variant]


class QTRANRLModule(ValueDecompositionRLModule):
    """The policy of QTRAN: a joint critic on the agents' hidden states takes the mixer's place.

    Acting uses only the utilities. They must satisfy, for the critic's Q_jt and V (theorem 1),

        sum_i Q_i(u_i) - Q_jt(u) + V  = 0 for the greedy joint action, >= 0 for all others.

    QTRAN-alt tightens the second condition (theorem 2): for every agent, the smallest gap over its
    own actions, with the others' fixed, must be zero. Its critic gives each agent Q_jt for all its
    actions at once, so joint values are [M, N]: one estimate of the same Q_jt(u) per agent.
    """

    @classmethod
    @override(ValueDecompositionRLModule)
    def mixer_options(cls) -> dict[str, Option]:
        """The options of both critics, and the choice between them."""
        return options_of(critic_class, *CRITICS.values())

    @classmethod
    @override(ValueDecompositionRLModule)
    def make_mixer(cls, spec: TeamSpec, settings: dict[str, Any]) -> nn.Module:
        """The joint critic."""
        sizes = (spec.n_agents, spec.state_size, spec.n_actions, settings["hidden_size"])
        kind = critic_class(variant=settings["mixer"]["variant"])
        mixer: nn.Module = kind(*sizes, **{n: settings["mixer"][n] for n in options_of(kind)})
        return mixer

    @override(ValueDecompositionRLModule)
    def _forward_train(self, batch: dict[str, Any]) -> dict[str, Any]:
        inputs = EpisodeInputs(self.layout, batch[Columns.OBS], batch[columns.LAST_ACTIONS])
        sizes = batch[columns.BATCH_SIZES]
        hidden = self.agent.hidden_states(inputs, sizes)
        with torch.no_grad():
            target_hidden = self.target_agent.hidden_states(inputs, sizes)
            target_utilities = self.target_agent.utilities(target_hidden, inputs)
        batch = {**batch, columns.HIDDEN: hidden, TARGET_HIDDEN: target_hidden}
        return self.mix(batch, self.agent.utilities(hidden, inputs), target_utilities)

    @override(ValueDecompositionRLModule)
    def live_value(
        self,
        batch: dict[str, Any],
        rows: Tensor | slice,
        utilities: Tensor,
        actions: Tensor,
        mask: Tensor | None = None,
    ) -> Mixed:
        """The critic's Q_jt [R] or [R, N], from columns.HIDDEN [P, N, h] in the batch."""
        state, hidden = batch[columns.STATE][rows], batch[columns.HIDDEN][rows]
        return Mixed(_value(self.mixer, state, hidden, actions))

    @override(ValueDecompositionRLModule)
    def target_value(
        self, batch: dict[str, Any], rows: Tensor | slice, utilities: Tensor, actions: Tensor
    ) -> Mixed:
        """The target critic's Q_jt [R] or [R, N], from TARGET_HIDDEN [P, N, h] in the batch."""
        state, hidden = batch[columns.STATE][rows], batch[TARGET_HIDDEN][rows]
        return Mixed(_value(self.target_mixer, state, hidden, actions))

    @override(ValueDecompositionRLModule)
    def mix(
        self, batch: dict[str, Any], utilities: Tensor, target_utilities: Tensor
    ) -> dict[str, Any]:
        """QMIX's, with the critic's values; adds OPT_GAP and NOPT_GAP [M] or [M, N]."""
        forward = super().mix(batch, utilities, target_utilities)
        now, actions = batch[columns.NOW], batch[Columns.ACTIONS]
        critic: Any = self.mixer
        state, hidden = batch[columns.STATE][now], batch[columns.HIDDEN][now]
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


def qtran_loss(
    forward: dict[str, Any],
    batch: dict[str, Any],
    config: Any,
    *,
    opt_loss: float = 1.0,
    nopt_min_loss: float = 0.1,
) -> tuple[Tensor, dict[str, Tensor]]:
    """L_td + opt_loss L_opt + nopt_min_loss L_nopt.

    Args:
        forward: Output of `QTRANRLModule.mix`.
        batch: The packed batch.
        config: The settings that all algorithms share.
        opt_loss: factor of the loss on greedy actions.
        nopt_min_loss: factor of the loss on the actions taken; for variant "alt" 1 is usual.
    """
    loss, stats = td_loss(forward, batch, config)
    opt, nopt = (weighted_mean(forward[gap].square(), batch) for gap in (OPT_GAP, NOPT_GAP))
    loss = loss + opt_loss * opt + nopt_min_loss * nopt
    return loss, stats | {keys.OPT_LOSS: opt.detach(), keys.NOPT_LOSS: nopt.detach()}


class QTRANTorchLearner(ValueDecompositionTorchLearner):
    """Adds the two conditions on the utilities to the joint critic's TD loss."""

    logged = (*ValueDecompositionTorchLearner.logged, keys.OPT_LOSS, keys.NOPT_LOSS)

    @staticmethod
    def loss(
        forward: dict[str, Any], batch: dict[str, Any], config: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `qtran_loss`."""
        return qtran_loss(forward, batch, config, **config.values_of(qtran_loss))


class QTRANConfig(ValueDecompositionConfig):
    """Settings of QTRAN; the defaults are PyMARL's."""

    rl_module_class = QTRANRLModule
    default_learner_class = QTRANTorchLearner
    option_sources = (qtran_loss,)

    @override(ValueDecompositionConfig)
    def validate(self) -> None:
        """See base class."""
        super().validate()
        if self.variant == "alt":
            for name in options_of(QTRANCritic).keys() - options_of(QTRANAltCritic).keys():
                if getattr(self, name) != self.options[name].default:
                    raise ValueError(
                        f"variant alt has its own critic, which {name} does not affect: leave it "
                        "out, or use variant base."
                    )
        for name in options_of(qtran_loss):
            in_range(self, name, 0.0, 1e6)


class QTRAN(ValueDecomposition):
    """Value decomposition with a joint critic in place of a mixer."""

    config_class = QTRANConfig
