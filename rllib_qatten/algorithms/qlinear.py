"""QLinear: the Qatten authors' control without attention; weights of the agents from a network."""

from __future__ import annotations

from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.mixers import QLinearMixer
from rllib_qatten.training.rl_module import ValueDecompositionRLModule


class QLinearRLModule(ValueDecompositionRLModule):
    """The policy of QLinear: agent networks and a weighted sum."""

    mixer_class = QLinearMixer


class QLinearConfig(ValueDecompositionConfig):
    """Settings of QLinear; the defaults are the authors'."""

    rl_module_class = QLinearRLModule


class QLinear(ValueDecomposition):
    """Value decomposition by a sum, the agents weighted by |f(own features, state)|."""

    config_class = QLinearConfig
