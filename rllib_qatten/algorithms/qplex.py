"""QPLEX: values and advantages of the utilities, duelling (Wang et al. 2021, arXiv 2008.01062)."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.utils.annotations import override

from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.training.rl_module import ValueDecompositionRLModule


class QPLEXRLModule(ValueDecompositionRLModule):
    """The policy of QPLEX: QMIX's with the duplex dueling mixer."""

    mixer_name = "qplex"


class QPLEXConfig(ValueDecompositionConfig):
    """Settings of QPLEX; the defaults are the authors' for StarCraft II."""

    rl_module_class = QPLEXRLModule
    mixer_options = ("n_kernels", "hypernet_embed", "adv_hypernet_layers", "adv_hypernet_embed")

    def __init__(self, algo_class: type[Algorithm] | None = None) -> None:
        """Sets the defaults."""
        super().__init__(algo_class or QPLEX)
        self.n_kernels = 4
        self.adv_hypernet_layers = 1
        self.adv_hypernet_embed = 64

    @override(ValueDecompositionConfig)
    def training(
        self,
        *,
        n_kernels: int | None = NotProvided,
        adv_hypernet_layers: int | None = NotProvided,
        adv_hypernet_embed: int | None = NotProvided,
        **kwargs: Any,
    ) -> QPLEXConfig:
        """Sets what concerns learning.

        Args:
            n_kernels: Products that add up to an advantage's weight; 10 is usual in matrix games.
            adv_hypernet_layers: 1, 2 or 3 layers of each kernel's networks.
            adv_hypernet_embed: Width between these layers.
            **kwargs: QMIX's and RLlib's own.

        Returns:
            This config.
        """
        given = {k: v for k, v in locals().items() if k not in ("self", "kwargs", "__class__")}
        super().training(**kwargs)
        return self._take(given)


class QPLEX(ValueDecomposition):
    """QMIX's loop with the duplex dueling mixer."""

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> QPLEXConfig:
        """See base class."""
        return QPLEXConfig(cls)
