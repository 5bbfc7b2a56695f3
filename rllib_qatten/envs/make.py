"""From an env's name and config to a vector of teams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune.registry import ENV_CREATOR, _global_registry

from rllib_qatten.envs.check import check_env
from rllib_qatten.envs.looped import LoopedTeams
from rllib_qatten.envs.matrix import MatrixGame, TwoStepGame
from rllib_qatten.envs.smac import make_smac
from rllib_qatten.envs.team import TeamVector
from rllib_qatten.suggest import one_of

#: The envs that importing the package registers with Tune.
ENVS: dict[str, Callable[[dict[str, Any]], MultiAgentEnv]] = {
    "smac": make_smac,
    "matrix_game": MatrixGame,
    "two_step_game": TwoStepGame,
}


def env_creator(env: str | Callable[[dict[str, Any]], MultiAgentEnv]) -> Callable:
    """The function that makes an env from its config.

    Args:
        env: A name registered with Tune, or a class or function that takes the env config.

    Raises:
        ValueError: For a name that isn't registered, with the nearest one.
    """
    if callable(env):
        return env
    if env in ENVS:
        return ENVS[env]
    if not _global_registry.contains(ENV_CREATOR, env):
        one_of(env, ENVS, "env (register your own with ray.tune.register_env)")
    return _global_registry.get(ENV_CREATOR, env)


def make_teams(
    env: str | Callable[[dict[str, Any]], MultiAgentEnv],
    env_config: dict[str, Any],
    num_games: int,
    team_reward: str = "equal",
) -> TeamVector:
    """Makes a vector of `num_games` teams.

    An env with a `vectorize(num_games)` brings its own vector; others are checked and looped over.

    Raises:
        ValueError: If the env is unknown or breaks the team contract.
    """
    create = env_creator(env)
    first = create(env_config)
    if hasattr(first, "vectorize"):
        return first.vectorize(num_games)
    check_env(first, team_reward=team_reward)
    others = [create(env_config) for _ in range(num_games - 1)]
    return LoopedTeams([first, *others], team_reward)
