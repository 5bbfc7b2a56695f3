"""Mixers: how N utilities and a state become Q_tot. Plain torch; one mixer a file.

A new mixer is a subclass of `Mixer` in a file of its own and a line in `MIXERS`. QTRAN's critics
stand beside them: they value joint actions without utilities.
"""

from rllib_qatten.mixers.base import Mixed, Mixer, Rows, attention_entropy
from rllib_qatten.mixers.central import Central
from rllib_qatten.mixers.presets import PRESETS
from rllib_qatten.mixers.qatten import Qatten
from rllib_qatten.mixers.qlinear import QLinear
from rllib_qatten.mixers.qmix import QMIX
from rllib_qatten.mixers.qplex import QPLEX
from rllib_qatten.mixers.qtran import QTRANCritic
from rllib_qatten.mixers.qtran_alt import QTRANAltCritic
from rllib_qatten.mixers.vdn import VDN

MIXERS: dict[str, type[Mixer]] = {
    "vdn": VDN,
    "qmix": QMIX,
    "qatten": Qatten,
    "qlinear": QLinear,
    "qplex": QPLEX,
    "central": Central,
}

__all__ = [
    "MIXERS",
    "PRESETS",
    "QMIX",
    "QPLEX",
    "VDN",
    "Central",
    "Mixed",
    "Mixer",
    "QLinear",
    "QTRANAltCritic",
    "QTRANCritic",
    "Qatten",
    "Rows",
    "attention_entropy",
]
