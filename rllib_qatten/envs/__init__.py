"""What a team plays: the contract, its checker, and the environments."""

from rllib_qatten.envs.check import TeamContractError, check_env
from rllib_qatten.envs.looped import LoopedTeams
from rllib_qatten.envs.make import ENVS, env_creator, make_teams, register_envs
from rllib_qatten.envs.matrix import MatrixGame, TwoStepGame
from rllib_qatten.envs.smac import make_smac
from rllib_qatten.envs.team import EngineFailed, TeamSpec, TeamStep, TeamVector, TeamView

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
    "check_env",
    "env_creator",
    "make_smac",
    "make_teams",
    "register_envs",
]
