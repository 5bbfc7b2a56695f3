"""Qatten: multi-head attention mixes the utilities (Yang et al. 2020, arXiv 2002.03939)."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.utils.annotations import override

from rllib_qatten.algorithms.qmix import QMIX, QMIXConfig, QMIXRLModule
from rllib_qatten.messages import say
from rllib_qatten.mixers import PRESETS


class QattenRLModule(QMIXRLModule):
    """The policy of Qatten: QMIX's with multi-head attention for a mixer."""

    mixer_name = "qatten"


class QattenConfig(QMIXConfig):
    """Settings of Qatten; the defaults are the authors' released setting."""

    rl_module_class = QattenRLModule
    mixer_options = (
        "n_heads",
        "mixing_embed_dim",
        "hypernet_layers",
        "hypernet_embed",
        "weighted_heads",
        "q_in_key",
        "mask_dead",
        "state_bias",
        "attend_reg_coef",
        "reg_over_padding",
        "attention_bias",
    )

    def __init__(self, algo_class: type[Algorithm] | None = None) -> None:
        """Sets the defaults."""
        super().__init__(algo_class or Qatten)
        self.mixer_preset: str | None = None
        self.n_heads = 4
        self.weighted_heads = False
        self.q_in_key = False
        self.mask_dead = False
        self.state_bias = True
        self.attend_reg_coef = 0.01
        self.reg_over_padding = False
        self.attention_bias = False

    @override(QMIXConfig)
    def training(
        self,
        *,
        mixer_preset: str | None = NotProvided,
        n_heads: int | None = NotProvided,
        weighted_heads: bool | None = NotProvided,
        q_in_key: bool | None = NotProvided,
        mask_dead: bool | None = NotProvided,
        state_bias: bool | None = NotProvided,
        attend_reg_coef: float | None = NotProvided,
        reg_over_padding: bool | None = NotProvided,
        attention_bias: bool | None = NotProvided,
        **kwargs: Any,
    ) -> QattenConfig:
        """Sets what concerns learning.

        Args:
            mixer_preset: A named set of all mixer options, see `rllib_qatten.mixers.PRESETS`;
                options given along with it come on top.
            n_heads: Attention heads.
            weighted_heads: Weigh the heads by |f(state)| instead of adding them.
            q_in_key: Let the keys see the utilities; gives up the IGM guarantee.
            mask_dead: No attention for dead agents.
            state_bias: Add c(state) to Q_tot.
            attend_reg_coef: Factor of the mean squared attention logits in the loss.
            reg_over_padding: Count padding in that mean, as the authors' code does; batches are
                then padded and learning is slower.
            attention_bias: Biases in all query and key layers, as PyMARL2 has them.
            **kwargs: QMIX's and RLlib's own.

        Returns:
            This config.
        """
        given = {k: v for k, v in locals().items() if k not in ("self", "kwargs", "__class__")}
        self._apply(PRESETS, mixer_preset, "mixer_preset")
        super().training(**kwargs)
        return self._take(given)

    @override(QMIXConfig)
    def update_from_dict(self, config_dict: dict[str, Any]) -> QattenConfig:
        """Takes settings from a dict; a preset in it comes before the options beside it."""
        self._apply(PRESETS, config_dict.get("mixer_preset"), "mixer_preset")
        return super().update_from_dict(config_dict)

    @property
    def counts_padding(self) -> bool:
        """Whether the attention regularizer's mean runs over padding too."""
        return self.reg_over_padding and self.attend_reg_coef > 0


class Qatten(QMIX):
    """QMIX's loop with multi-head attention for a mixer."""

    @override(QMIX)
    def setup(self, config: QattenConfig) -> None:
        """See base class; says what a setting gives up."""
        super().setup(config)
        if config.q_in_key:
            say(
                "q_in_key: attention depends on the utilities, so IGM is not guaranteed: the "
                "agents' own greedy actions need not be the best joint action."
            )

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> QattenConfig:
        """See base class."""
        return QattenConfig(cls)
