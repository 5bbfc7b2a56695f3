"""QLinear: the Qatten authors' control without attention; weights of the agents from a network."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.utils.annotations import override

from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.training.rl_module import ValueDecompositionRLModule


class QLinearRLModule(ValueDecompositionRLModule):
    """The policy of QLinear: QMIX's with a weighted sum for a mixer."""

    mixer_name = "qlinear"


class QLinearConfig(ValueDecompositionConfig):
    """Settings of QLinear; the defaults are the authors'."""

    rl_module_class = QLinearRLModule
    mixer_options = (*ValueDecompositionConfig.mixer_options, "state_bias")

    def __init__(self, algo_class: type[Algorithm] | None = None) -> None:
        """Sets the defaults."""
        super().__init__(algo_class or QLinear)
        self.state_bias = True

    @override(ValueDecompositionConfig)
    def training(self, *, state_bias: bool | None = NotProvided, **kwargs: Any) -> QLinearConfig:
        """Sets what concerns learning.

        Args:
            state_bias: Add c(state) to Q_tot.
            **kwargs: QMIX's and RLlib's own.

        Returns:
            This config.
        """
        super().training(**kwargs)
        return self._take({"state_bias": state_bias})


class QLinear(ValueDecomposition):
    """QMIX's loop with the agents weighted by |f(own features, state)|."""

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> QLinearConfig:
        """See base class."""
        return QLinearConfig(cls)
