"""QMIX: a monotonic network of the utilities, with weights computed from the state."""

from __future__ import annotations

from typing import ClassVar

from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.mixers import Mixer, QMixer
from rllib_qatten.training.rl_module import ValueDecompositionRLModule


class QMIXRLModule(ValueDecompositionRLModule):
    """The policy of QMIX: agent networks and the monotonic mixer."""

    mixer_class: ClassVar[type[Mixer]] = QMixer


class QMIXConfig(ValueDecompositionConfig):
    """Settings of QMIX; the defaults are PyMARL's recipe for SMAC."""

    rl_module_class = QMIXRLModule


class QMIX(ValueDecomposition):
    """Value decomposition with a monotonic mixer (Rashid et al. 2018)."""

    config_class = QMIXConfig
