"""QPLEX: values and advantages of the utilities, dueling (Wang et al. 2021, arXiv 2008.01062)."""

from __future__ import annotations

from ray.rllib.utils.annotations import override

from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.recipes import RECIPES
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.errors import BadInput
from rllib_qatten.mixers import QPLEX_PRESETS, QPLEXMixer
from rllib_qatten.mixers.presets import qplex_preset
from rllib_qatten.training.rl_module import ValueDecompositionRLModule

#: Options that only the attention reads.
OF_ATTENTION = ("n_heads", "weighted_heads", "attend_reg_coef")


class QPLEXRLModule(ValueDecompositionRLModule):
    """The policy of QPLEX: agent networks and the duplex dueling mixer."""

    mixer_class = QPLEXMixer


class QPLEXConfig(ValueDecompositionConfig):
    """Settings of QPLEX; the defaults are the authors' for StarCraft II."""

    rl_module_class = QPLEXRLModule
    option_sources = (qplex_preset,)
    named_sets = {"mixer_preset": QPLEX_PRESETS, "recipe": RECIPES}  # noqa: RUF012 - never changed

    @override(ValueDecompositionConfig)
    def validate(self) -> None:
        """See base class; refuses options of an attention that is not there."""
        super().validate()
        if self.transformation == "attention":
            return
        for name in OF_ATTENTION:
            if (value := getattr(self, name)) != self.options[name].default:
                raise BadInput(
                    f"{name}: {value} is an option of transformation: attention, but "
                    f"transformation is {self.transformation}: set transformation: attention, "
                    f"or leave {name} out."
                )


class QPLEX(ValueDecomposition):
    """Value decomposition with the duplex dueling mixer."""

    config_class = QPLEXConfig
