"""VDN: the joint action value is the sum of the agents' utilities (Sunehag et al. 2018)."""

from __future__ import annotations

from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.mixers import VDNMixer
from rllib_qatten.training.rl_module import ValueDecompositionRLModule


class VDNRLModule(ValueDecompositionRLModule):
    """The policy of VDN: agent networks and the sum of their utilities."""

    mixer_class = VDNMixer


class VDNConfig(ValueDecompositionConfig):
    """Settings of VDN; its mixer has none."""

    rl_module_class = VDNRLModule


class VDN(ValueDecomposition):
    """Value decomposition by a plain sum."""

    config_class = VDNConfig
