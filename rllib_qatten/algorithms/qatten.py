"""Qatten: multi-head attention mixes the utilities (Yang et al. 2020, arXiv 2002.03939)."""

from __future__ import annotations

from ray.rllib.utils.annotations import override

from rllib_qatten.algorithms.qmix import QMIX, QMIXConfig, QMIXRLModule
from rllib_qatten.algorithms.recipes import RECIPES
from rllib_qatten.messages import say
from rllib_qatten.mixers import PRESETS, QattenMixer
from rllib_qatten.mixers.presets import preset


class QattenRLModule(QMIXRLModule):
    """The policy of Qatten: QMIX's, with multi-head attention as its mixer."""

    mixer_class = QattenMixer


class QattenConfig(QMIXConfig):
    """Settings of Qatten; the defaults are the authors' released setting."""

    rl_module_class = QattenRLModule
    option_sources = (preset,)
    named_sets = {"mixer_preset": PRESETS, "recipe": RECIPES}  # noqa: RUF012 - never changed

    @property
    def counts_padding(self) -> bool:
        """Whether the attention regularizer's mean runs over padding too."""
        return self.reg_over_padding and self.attend_reg_coef > 0


class Qatten(QMIX):
    """QMIX's loop, with multi-head attention as its mixer."""

    config_class = QattenConfig

    @override(QMIX)
    def setup(self, config: QattenConfig) -> None:
        """See base class; warns about what a setting gives up."""
        super().setup(config)
        if config.q_in_key:
            say(
                "q_in_key: attention depends on the utilities, so IGM is not guaranteed: the "
                "agents' own greedy actions need not be the best joint action."
            )
