"""The games that a trained team plays: those its checkpoint names, or those the user names.

A checkpoint may be untrusted. It can choose among the environments that this package ships and the
packages of the extra `envs`; anything else it names is code, which only the user can ask for.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import gymnasium as gym

from rllib_qatten.envs import EnvRules, TeamVector, make_teams
from rllib_qatten.envs.agent_ids import check_same_order
from rllib_qatten.errors import BadInput, described
from rllib_qatten.evaluation.team_policy import TeamPolicy

#: Environments that a checkpoint may name; none of their settings names code.
SHIPPED = ("smac", "matrix_game", "two_step_game")
#: Those with a setting that does, and the packages that a checkpoint may name in it.
ADAPTERS = {
    "pettingzoo": ("env", ("pettingzoo", "mpe2")),
    "gymnasium": ("id", ("lbforaging", "rware")),
}


def make_games(
    policy: TeamPolicy, episodes: int, env_config: dict[str, Any], env: str | None = None
) -> TeamVector:
    """The games that a team was trained on, or others that it can play, see `TeamPolicy.fitted`.

    Args:
        policy: The team.
        episodes: How many will be played; at most this many games are created.
        env_config: Settings of the environment that differ from training, and those that the
            checkpoint could not hold.
        env: The environment, as in an experiment. Needed if the checkpoint names one that this
            package does not ship, which is code; repeating the name says that it is trusted.

    Raises:
        BadInput: If the environment is not trusted, can't be created, or its shapes differ; or if
            settings are missing.
    """
    trained = policy.metadata["environment"]
    name, config = choose(policy, env_config, env)
    games = min(trained["num_games"], episodes)
    try:
        rules = EnvRules(max_episode_steps=trained.get("max_episode_steps"))
        teams = make_teams(name, config, games, trained["team_reward"], rules)
    except (ValueError, ModuleNotFoundError) as error:
        raise BadInput(str(error)) from error
    except Exception as error:  # made-up settings may make an env raise anything
        raise BadInput(
            f"the environment {name} {config} cannot be created: {described(error)}"
        ) from error
    try:
        player = policy.fitted(teams.spec)
        check_same_order(player.agents, teams.spec.agents, BadInput)
    except BadInput as error:
        teams.close()
        here, there = teams.spec.engine, trained["engine"]
        played = f"{here}, not {there}, where it was trained" if here != there else here
        raise BadInput(f"the environment {name} {config} ({played}): {error}") from error
    return teams


def choose(
    policy: TeamPolicy, env_config: dict[str, Any], env: str | None
) -> tuple[str, dict[str, Any]]:
    """The environment's name and config, if they only run code of the package or the user.

    Args:
        policy: The team.
        env_config: As for `make_games`.
        env: As for `make_games`.

    Raises:
        BadInput: Otherwise, with how to name it.
    """
    trained, algorithm = policy.metadata["environment"], policy.metadata["algorithm"]
    name, config = trained["env"], trained["env_config"] | env_config
    if name is None and env is None:
        raise BadInput(
            "the environment was given as Python code, which a checkpoint cannot hold as text: "
            "name it, --env my_package.my_module:MyEnv, or, if you trust the checkpoint, "
            f"{algorithm}.from_checkpoint(CHECKPOINT).evaluate() in Python."
        )
    if lost := [key for key in trained.get("env_config_lost", ()) if key not in env_config]:
        keys = ", ".join(lost)
        raise BadInput(
            f"the team was trained with an env_config of which a checkpoint cannot hold {keys} as "
            f"text: give it, --set env_config.{lost[0]}=... (in Python make_games(..., env_config="
            f"{{...}})), or, if you trust the checkpoint, {algorithm}.from_checkpoint(CHECKPOINT)."
            "evaluate() in Python."
        )
    setting, packages = ADAPTERS.get(name, (None, ()))
    # Naming or setting the code that an adapter runs is naming the environment.
    if env is not None and not (setting and env in (name, config.get(setting))):
        return env, config
    if setting and setting not in env_config and env != config.get(setting):
        _assert_shipped(name, str(config.get(setting)), packages)
    elif not setting and name not in SHIPPED:
        raise BadInput(_REPEAT.format(name, f"--env {name}"))
    return name, config


_REPEAT = (
    "the checkpoint names the environment {}, which this package does not ship: playing in it runs "
    "its code. If you trust that, name it yourself: {}"
)


def _assert_shipped(name: str, path: str, packages: tuple[str, ...]) -> None:
    """Verifies that an adapter's setting names an environment of one of these packages."""
    module, _, attribute = path.rpartition(":") if name == "gymnasium" else (path, "", "")
    package = module.partition(".")[0]
    if package in packages and ":" not in module:
        with _without_working_directory(), contextlib.suppress(ImportError):
            # Looked up where packages are installed first; `make_teams` says what is missing.
            importlib.import_module(package)
        if not attribute or _is_of(package, attribute):
            return
    raise BadInput(_REPEAT.format(path, f"--env {path}"))


def _is_of(package: str, env_id: str) -> bool:
    """Whether gymnasium creates this id with the package's code; True if there is no such id."""
    try:
        entry = gym.spec(env_id).entry_point
    except gym.error.Error:
        return True  # `make_teams` refuses it and names the nearest one
    return isinstance(entry, str) and entry.partition(":")[0].partition(".")[0] == package


@contextlib.contextmanager
def _without_working_directory() -> Iterator[None]:
    """The working directory may hold untrusted files, such as a module with a package's name."""
    path, here = list(sys.path), os.getcwd()
    sys.path[:] = [entry for entry in path if entry not in ("", here)]
    try:
        yield
    finally:
        sys.path[:] = path
