"""VDN: the joint action value is the sum of the agents' utilities (Sunehag et al. 2018)."""

from __future__ import annotations

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.utils.annotations import override

from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.training.rl_module import ValueDecompositionRLModule


class VDNRLModule(ValueDecompositionRLModule):
    """The policy of VDN: QMIX's with a sum for a mixer."""

    mixer_name = "vdn"


class VDNConfig(ValueDecompositionConfig):
    """Settings of VDN: QMIX's, of which the mixer has none."""

    rl_module_class = VDNRLModule
    mixer_options = ()

    def __init__(self, algo_class: type[Algorithm] | None = None) -> None:
        """See base class."""
        super().__init__(algo_class or VDN)


class VDN(ValueDecomposition):
    """QMIX's loop with a sum for a mixer."""

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> VDNConfig:
        """See base class."""
        return VDNConfig(cls)
