"""Mixers: how N utilities and a state become Q_tot. Plain torch; one mixer a file.

A new mixer is a subclass of `Mixer` in a file of its own and a line in `MIXERS`.
"""

from rllib_qatten.mixers.base import Mixed, Mixer, attention_entropy
from rllib_qatten.mixers.presets import PRESETS
from rllib_qatten.mixers.qatten import Qatten
from rllib_qatten.mixers.qmix import QMIX
from rllib_qatten.mixers.vdn import VDN

MIXERS: dict[str, type[Mixer]] = {"vdn": VDN, "qmix": QMIX, "qatten": Qatten}

__all__ = ["MIXERS", "PRESETS", "QMIX", "VDN", "Mixed", "Mixer", "Qatten", "attention_entropy"]
