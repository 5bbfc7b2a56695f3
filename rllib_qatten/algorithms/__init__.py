"""What the family's algorithms are: one config and one algorithm a file."""

from ray.tune.registry import register_trainable

from rllib_qatten.algorithms.independent_q import IndependentQ, IndependentQConfig
from rllib_qatten.algorithms.qatten import Qatten, QattenConfig
from rllib_qatten.algorithms.qlinear import QLinear, QLinearConfig
from rllib_qatten.algorithms.qmix import QMIX, QMIXConfig
from rllib_qatten.algorithms.qplex import QPLEX, QPLEXConfig
from rllib_qatten.algorithms.qtran import QTRAN, QTRANConfig
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.algorithms.vdn import VDN, VDNConfig
from rllib_qatten.algorithms.wqmix import WQMIX, WQMIXConfig

#: Trainable name -> algorithm; tests run over it.
ALGORITHMS: dict[str, type[ValueDecomposition]] = {
    "Qatten": Qatten,
    "QMIX": QMIX,
    "VDN": VDN,
    "QLinear": QLinear,
    "QTRAN": QTRAN,
    "QPLEX": QPLEX,
    "WQMIX": WQMIX,
    "IndependentQ": IndependentQ,
}

for _name, _algorithm in ALGORITHMS.items():
    register_trainable(_name, _algorithm)

__all__ = [
    "ALGORITHMS",
    "QMIX",
    "QPLEX",
    "QTRAN",
    "VDN",
    "WQMIX",
    "IndependentQ",
    "IndependentQConfig",
    "QLinear",
    "QLinearConfig",
    "QMIXConfig",
    "QPLEXConfig",
    "QTRANConfig",
    "Qatten",
    "QattenConfig",
    "VDNConfig",
    "WQMIXConfig",
]
