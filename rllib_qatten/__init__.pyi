"""The public names, once: type checkers read this file, and so does `__init__.py`.

A name with a "...Config" beside it is an algorithm, and is registered.
"""

# ruff: isort: skip_file
from rllib_qatten.algorithms.qatten import Qatten as Qatten, QattenConfig as QattenConfig
from rllib_qatten.algorithms.qmix import QMIX as QMIX, QMIXConfig as QMIXConfig
from rllib_qatten.algorithms.vdn import VDN as VDN, VDNConfig as VDNConfig
from rllib_qatten.algorithms.qlinear import QLinear as QLinear, QLinearConfig as QLinearConfig
from rllib_qatten.algorithms.qtran import QTRAN as QTRAN, QTRANConfig as QTRANConfig
from rllib_qatten.algorithms.qplex import QPLEX as QPLEX, QPLEXConfig as QPLEXConfig
from rllib_qatten.algorithms.wqmix import WQMIX as WQMIX, WQMIXConfig as WQMIXConfig
from rllib_qatten.algorithms.independent_q import (
    IndependentQ as IndependentQ,
    IndependentQConfig as IndependentQConfig,
)
from rllib_qatten.algorithms.registry import (
    ALGORITHMS as ALGORITHMS,
    register_algorithm as register_algorithm,
)
from rllib_qatten.envs import as_parallel_env as as_parallel_env, check_env as check_env
from rllib_qatten.evaluation.team_policy import AgentPolicy as AgentPolicy, TeamPolicy as TeamPolicy
from rllib_qatten.version import __version__ as __version__
