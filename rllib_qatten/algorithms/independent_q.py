"""IndependentQ: every agent learns from the team's reward alone, without a mixer (IQL).

The name avoids IQL, which in RLlib is Implicit Q-Learning.
"""

from __future__ import annotations

from typing import Any

from ray.rllib.utils.annotations import override
from torch import Tensor, nn

from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.mixers import Mixed
from rllib_qatten.training.rl_module import ValueDecompositionRLModule
from rllib_qatten.training.selection import utilities_of


class IndependentQRLModule(ValueDecompositionRLModule):
    """The policy of IndependentQ: without a mixer, each agent's utility is its own value."""

    @classmethod
    @override(ValueDecompositionRLModule)
    def make_mixer(cls, spec: TeamSpec, settings: dict[str, Any]) -> nn.Module:
        """A placeholder without parameters."""
        return nn.Identity()

    @override(ValueDecompositionRLModule)
    def joint_value(
        self,
        mixer: Any,
        batch: dict[str, Any],
        rows: Tensor | slice,
        utilities: Tensor,
        actions: Tensor,
        mask: Tensor | None = None,
    ) -> Mixed:
        """Each agent's own value [R, N] in place of a joint one."""
        return Mixed(utilities_of(utilities, rows, actions))


class IndependentQConfig(ValueDecompositionConfig):
    """Settings of IndependentQ: those that all share."""

    rl_module_class = IndependentQRLModule


class IndependentQ(ValueDecomposition):
    """Q-learning of each agent apart (Tan 1993; IQL in Tampuu et al. 2017)."""

    config_class = IndependentQConfig
