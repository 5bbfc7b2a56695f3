"""What a team plays: the contract, its checker, and the environments."""

from rllib_qatten.envs.adapters.parallel import as_parallel_env
from rllib_qatten.envs.battles.smac import make_smac
from rllib_qatten.envs.checker import check_env
from rllib_qatten.envs.declared import declare, vectorizes
from rllib_qatten.envs.python_games import EnvRules
from rllib_qatten.envs.python_teams import PythonTeams
from rllib_qatten.envs.registry import ENVS, env_creator, make_teams
from rllib_qatten.envs.small_games import MatrixGame, TwoStepGame
from rllib_qatten.envs.team import (
    TeamContractError,
    TeamSpec,
    TeamStep,
    TeamVector,
    TeamView,
)
from rllib_qatten.errors import EngineFailed, EnvFailed

__all__ = [
    "ENVS",
    "EngineFailed",
    "EnvFailed",
    "EnvRules",
    "MatrixGame",
    "PythonTeams",
    "TeamContractError",
    "TeamSpec",
    "TeamStep",
    "TeamVector",
    "TeamView",
    "TwoStepGame",
    "as_parallel_env",
    "check_env",
    "declare",
    "env_creator",
    "make_smac",
    "make_teams",
    "vectorizes",
]
