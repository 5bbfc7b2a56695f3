"""From an env's name and config to a vector of teams."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune.registry import ENV_CREATOR, _global_registry

from rllib_qatten.envs.adapters.gymnasium import make_gymnasium
from rllib_qatten.envs.adapters.pettingzoo import make_pettingzoo
from rllib_qatten.envs.adapters.team_env import as_team_env
from rllib_qatten.envs.battles.smac import make_smac
from rllib_qatten.envs.checker import check_games
from rllib_qatten.envs.construct import construct
from rllib_qatten.envs.declared import declare, vectorizes
from rllib_qatten.envs.import_path import load_env
from rllib_qatten.envs.python_games import CallWatch, EnvRules, checked
from rllib_qatten.envs.python_teams import PythonTeams
from rllib_qatten.envs.small_games import MatrixGame, TwoStepGame
from rllib_qatten.envs.spaces import kind_of
from rllib_qatten.envs.team import TeamContractError, TeamVector
from rllib_qatten.errors import BadInput, one_of
from rllib_qatten.messages import say_once

#: The envs that importing the package registers with Tune.
ENVS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "smac": make_smac,
    "matrix_game": MatrixGame,
    "two_step_game": TwoStepGame,
    "pettingzoo": make_pettingzoo,
    "gymnasium": make_gymnasium,
}


def env_creator(
    env: str | Callable[[dict[str, Any]], Any],
) -> Callable[[dict[str, Any]], MultiAgentEnv]:
    """The function that makes an env from its config.

    Args:
        env: A name registered with Tune; a path, "my_package.my_module:MyEnv"; or a class or
            function. It gets the config, as in RLlib; a `ParallelEnv` class, and one that takes no
            config, gets the config's keys as arguments; see `construct`.

    Raises:
        ValueError: For a name that isn't registered, with the nearest one.
        ModuleNotFoundError: For a path whose module is missing.
    """
    make: Callable[[dict[str, Any]], Any]
    if callable(env):
        make = env
    elif env in ENVS:
        make = ENVS[env]
    elif ":" in env:
        make = load_env(env)
    elif _global_registry.contains(ENV_CREATOR, env):
        make = _global_registry.get(ENV_CREATOR, env)
    elif env in gym.registry:
        raise ValueError(
            f"Unknown env: {env!r}, which is gymnasium's: write env: gymnasium and env_config: "
            f"{{id: {env}}}, if its spaces are Tuples with one entry an agent."
        )
    else:
        own = "its path, my_package.my_module:MyEnv, or tune.register_env in this process first"
        one_of(env, ENVS, f"env (your own: {own})")
    return functools.partial(_create, make)


def _create(make: Callable[..., Any], env_config: dict[str, Any]) -> MultiAgentEnv:
    config = _own(env_config)
    # The package's own envs report faulty settings themselves.
    made = make(config) if make in ENVS.values() else construct(make, config)
    return as_team_env(made)


def _own(env_config: dict[str, Any]) -> dict[str, Any]:
    """A copy for one env, which may pop what it reads; an `EnvContext` keeps its worker's index."""
    config = copy.copy(env_config)
    for key, value in config.items():
        with contextlib.suppress(Exception):  # what cannot be copied, such as a lock, is shared
            config[key] = copy.deepcopy(value)
    return config


def make_teams(
    env: str | Callable[[dict[str, Any]], Any],
    env_config: dict[str, Any],
    num_games: int,
    team_reward: str = "equal",
    rules: EnvRules | None = None,
) -> TeamVector:
    """Makes a vector of `num_games` teams.

    An env with a `vectorize(num_games)` provides its own vector; others are checked and looped.

    Raises:
        ValueError: If the env is unknown or breaks the team contract, or if
            `max_episode_steps` is given for games that end by themselves.
    """
    rules = rules or EnvRules()
    create = env_creator(env)
    make = functools.partial(create, env_config)
    watch = CallWatch()  # many calls in one: reported, not ended
    with watch.during(f"The constructor of the env {env}"):
        first = make()
    if vectorizes(first):
        if rules.max_episode_steps is not None:
            raise BadInput(
                f"max_episode_steps is for Python environments without an end; the games of "
                f"{first.engine} end after {first.episode_limit} steps at the latest: leave it out."
            )
        return _vector(first, num_games)
    declared = declare(first)
    # One env runner reports what is odd, not every one.
    quiet = getattr(env_config, "worker_index", 0) > 1
    check = functools.partial(
        check_games,
        declared=declared,
        team_reward=team_reward,
        tell=(lambda note: None) if quiet else say_once,
    )
    first = checked(first, check, make, rules)
    with watch.during(f"The constructor of the env {env}"):
        others = [make() for _ in range(num_games - 1)]
    return PythonTeams([first, *others], team_reward, make, rules, declared)


def _vector(env: Any, num_games: int) -> TeamVector:
    """The vector of teams that an env provides.

    Raises:
        TeamContractError: If it is something else.
    """
    teams = env.vectorize(num_games)
    if not isinstance(teams, TeamVector):
        raise TeamContractError.of(
            env,
            f"its vectorize(num_games) returned {kind_of(teams)}, not a rllib_qatten.envs."
            "TeamVector: return one, or rename the method",
        )
    return teams
