"""QMIX: a monotonic network of the utilities, with weights made from the state."""

from __future__ import annotations

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.utils.annotations import override

from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.training.rl_module import ValueDecompositionRLModule


class QMIXRLModule(ValueDecompositionRLModule):
    """The policy of QMIX: agent networks and the monotonic mixer."""

    mixer_name = "qmix"


class QMIXConfig(ValueDecompositionConfig):
    """Settings of QMIX; the defaults are PyMARL's recipe for SMAC."""

    rl_module_class = QMIXRLModule

    def __init__(self, algo_class: type[Algorithm] | None = None) -> None:
        """See base class."""
        super().__init__(algo_class or QMIX)


class QMIX(ValueDecomposition):
    """Value decomposition with a monotonic mixer (Rashid et al. 2018)."""

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> QMIXConfig:
        """See base class."""
        return QMIXConfig(cls)
