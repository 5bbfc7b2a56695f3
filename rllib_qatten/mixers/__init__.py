"""Mixers: how N utilities and a state become Q_tot. Plain torch; one mixer a file.

A new mixer is a subclass of `Mixer` in a file of its own and a line in `MIXERS`. QTRAN's critics
are here too: they value joint actions without utilities.
"""

from rllib_qatten.mixers.base import Mixer, Rows, attention_entropy
from rllib_qatten.mixers.central import CentralMixer
from rllib_qatten.mixers.mixed import Mixed
from rllib_qatten.mixers.presets import PRESETS, QPLEX_PRESETS
from rllib_qatten.mixers.qatten import QattenMixer
from rllib_qatten.mixers.qlinear import QLinearMixer
from rllib_qatten.mixers.qmix import QMixer
from rllib_qatten.mixers.qplex import QPLEXMixer
from rllib_qatten.mixers.qtran import QTRANCritic
from rllib_qatten.mixers.qtran_alt import QTRANAltCritic
from rllib_qatten.mixers.vdn import VDNMixer

MIXERS: dict[str, type[Mixer]] = {
    "vdn": VDNMixer,
    "qmix": QMixer,
    "qatten": QattenMixer,
    "qlinear": QLinearMixer,
    "qplex": QPLEXMixer,
    "central": CentralMixer,
}

__all__ = [
    "MIXERS",
    "PRESETS",
    "QPLEX_PRESETS",
    "CentralMixer",
    "Mixed",
    "Mixer",
    "QLinearMixer",
    "QMixer",
    "QPLEXMixer",
    "QTRANAltCritic",
    "QTRANCritic",
    "QattenMixer",
    "Rows",
    "VDNMixer",
    "attention_entropy",
]
