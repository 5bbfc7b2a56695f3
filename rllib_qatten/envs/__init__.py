"""What a team plays: the contract, its checker, and the environments."""

from rllib_qatten.envs.as_parallel import as_parallel_env
from rllib_qatten.envs.check import check_env
from rllib_qatten.envs.looped import LoopedTeams
from rllib_qatten.envs.make import ENVS, env_creator, make_teams
from rllib_qatten.envs.matrix import MatrixGame, TwoStepGame
from rllib_qatten.envs.smac import make_smac
from rllib_qatten.envs.team import (
    EngineFailed,
    TeamContractError,
    TeamSpec,
    TeamStep,
    TeamVector,
    TeamView,
)

__all__ = [
    "ENVS",
    "EngineFailed",
    "LoopedTeams",
    "MatrixGame",
    "TeamContractError",
    "TeamSpec",
    "TeamStep",
    "TeamVector",
    "TeamView",
    "TwoStepGame",
    "as_parallel_env",
    "check_env",
    "env_creator",
    "make_smac",
    "make_teams",
]
