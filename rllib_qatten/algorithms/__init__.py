"""What the family's algorithms are: one config and one algorithm a file."""

from ray.tune.registry import register_trainable

from rllib_qatten.algorithms.qatten import Qatten, QattenConfig
from rllib_qatten.algorithms.qmix import QMIX
from rllib_qatten.algorithms.qmix_config import QMIXConfig
from rllib_qatten.algorithms.vdn import VDN, VDNConfig

#: Trainable name -> algorithm; tests run over it.
ALGORITHMS: dict[str, type[QMIX]] = {"Qatten": Qatten, "QMIX": QMIX, "VDN": VDN}

for _name, _algorithm in ALGORITHMS.items():
    register_trainable(_name, _algorithm)

__all__ = [
    "ALGORITHMS",
    "QMIX",
    "VDN",
    "QMIXConfig",
    "Qatten",
    "QattenConfig",
    "VDNConfig",
]
