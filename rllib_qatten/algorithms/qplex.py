"""QPLEX: values and advantages of the utilities, dueling (Wang et al. 2021, arXiv 2008.01062)."""

from __future__ import annotations

from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.mixers import QPLEXMixer
from rllib_qatten.training.rl_module import ValueDecompositionRLModule


class QPLEXRLModule(ValueDecompositionRLModule):
    """The policy of QPLEX: agent networks and the duplex dueling mixer."""

    mixer_class = QPLEXMixer


class QPLEXConfig(ValueDecompositionConfig):
    """Settings of QPLEX; the defaults are the authors' for StarCraft II."""

    rl_module_class = QPLEXRLModule


class QPLEX(ValueDecomposition):
    """Value decomposition with the duplex dueling mixer."""

    config_class = QPLEXConfig
