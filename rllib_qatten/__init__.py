"""Value decomposition for teams on RLlib: Qatten and its siblings, and what they play.

Importing the package registers its algorithms and environments with Tune.
"""

from rllib_qatten.algorithms import (
    ALGORITHMS,
    QMIX,
    QPLEX,
    QTRAN,
    VDN,
    WQMIX,
    IndependentQ,
    IndependentQConfig,
    Qatten,
    QattenConfig,
    QLinear,
    QLinearConfig,
    QMIXConfig,
    QPLEXConfig,
    QTRANConfig,
    VDNConfig,
    WQMIXConfig,
    register_algorithms,
)
from rllib_qatten.envs import as_parallel_env, check_env, register_envs

__version__ = "0.1.0"

register_algorithms()
register_envs()

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
    "__version__",
    "as_parallel_env",
    "check_env",
]
