"""What can be wrong with an experiment beyond its form: settings, envs, keys, the search."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.tune.registry import get_trainable_cls
from ray.tune.search import Searcher
from ray.tune.search.sample import Categorical, Float, Integer

from rllib_qatten import keys
from rllib_qatten.agents import sharing_groups
from rllib_qatten.algorithms import ALGORITHMS
from rllib_qatten.envs import check_env, declare, env_creator, vectorizes
from rllib_qatten.errors import one_of
from rllib_qatten.experiment import search
from rllib_qatten.experiment.search_space import grids, searched

if TYPE_CHECKING:
    from rllib_qatten.experiment.experiment import Experiment

#: Keys that Tune itself adds to every result, besides those in `KEYS`.
TUNE_KEYS = ("time_this_iter_s", "time_since_restore", "iterations_since_restore")
#: A checkpoint of one population member is another's start: Tune asks for more than two.
PBT_KEEPS = 3


def ours(experiment: Experiment, variants: list[dict[str, Any]]) -> bool:
    """Checks keys of results, settings and environments, known for our algorithms only.

    Args:
        experiment: What is checked.
        variants: Its configs.

    Returns:
        Whether the environment is a battle, so that win rates are reported.

    Raises:
        BadInput: For the first fault.
    """
    scored = {
        "metric": experiment.metric,
        "checkpoint_config.checkpoint_score_attribute": experiment.checkpoint_config.get(
            "checkpoint_score_attribute"
        ),
    }
    timed = {}
    if isinstance(experiment.scheduler, dict):
        timed = {"scheduler.time_attr": experiment.scheduler.get("time_attr")}
    for where, key in {**{f"stop.{k}": k for k in experiment.stop}, **scored, **timed}.items():
        # Numbered keys are a family: head_3_entropy is one with head_0_entropy.
        if key is not None and re.sub(r"\d+", "0", str(key)) not in keys.KEYS:
            with experiment.blame(where):
                one_of(key, [*keys.KEYS, *TUNE_KEYS], "key of a result")
    first = None
    battles: dict[str, bool] = {}
    for config in variants:
        settings = _settings(experiment, config)
        # Making a battle takes a moment, and most variants play the same one.
        shared = settings.team_reward, settings.parameter_sharing
        played = repr((config["env"], settings.env_config, *shared))
        if played not in battles:
            with experiment.blame("config.env_config"):
                battles[played] = _check_env(experiment, settings, env_creator(config["env"]))
        battle = battles[played]
        for where, key in scored.items():
            if str(key).endswith(keys.WIN_RATE) and not battle:
                raise experiment.bad(where, f"no result has {key}: {config['env']} is no battle.")
            if str(key).startswith(keys.EVALUATION) and not settings.evaluation_interval:
                raise experiment.bad(where, f"no result has {key}: evaluation_interval is not set.")
        network = (settings._model_config_auto_includes, settings.optimizer_name)
        first = first or network
        if network != first and experiment.mutated:
            raise experiment.bad(
                "scheduler",
                "trials copy each other's weights, so all need the same network, mixer and "
                "optimizer.",
            )
    return all(battles.values())


def _check_env(experiment: Experiment, settings: Any, create: Any) -> bool:
    """Plays random games; returns whether it is a battle."""
    env = create(settings.env_config)
    declared = declare(env)
    # An engine that brings its own vector of teams keeps the contract by construction.
    if not vectorizes(env):
        check_env(env, team_reward=settings.team_reward)
    env.close()
    with experiment.blame("config.parameter_sharing"):
        spec = declared.spec
        sharing_groups(settings.parameter_sharing, spec.n_agents, spec.unit_types)
    return spec.is_battle


def _settings(experiment: Experiment, config: dict[str, Any]) -> Any:
    with experiment.blame("env"):
        env_creator(config["env"])
    settings = ALGORITHMS[experiment.run].get_default_config()
    defaults = settings.to_dict()
    for key, value in config.items():
        if wanted := _other_kind(defaults.get(key), value):
            raise experiment.bad(f"config.{key}", f"must be {wanted}; got {value!r}.")
    with experiment.blame("config"):
        settings.update_from_dict(config)
        settings.validate()
        settings.get_evaluation_config_object()
    return settings


def searching(experiment: Experiment) -> None:
    """Checks scheduler and search, by making both.

    Raises:
        BadInput: For the first fault.
    """
    space = experiment.param_space
    if experiment.scheduler:
        with experiment.blame("scheduler"):
            search.scheduler(experiment.scheduler)
        for path, domain in experiment.mutated.items():
            _check_mutation(experiment, path, domain)
        keep = experiment.checkpoint_config.get("num_to_keep", PBT_KEEPS)
        if experiment.mutated and keep is not None and keep < PBT_KEEPS:
            raise experiment.bad(
                "checkpoint_config.num_to_keep",
                f"must be {PBT_KEEPS} or more, or a trial's checkpoint may be gone before another "
                f"one takes it over; got {keep}.",
            )
    if experiment.search_alg:
        with experiment.blame("search_alg"):
            made = search.searcher(experiment.search_alg, experiment.max_concurrent_trials)
        if isinstance(made, Searcher):
            if experiment.mutated:
                raise experiment.bad("search_alg", "cannot go with a scheduler that mutates.")
            if grids(space):
                raise experiment.bad(
                    "search_alg", "takes no grid_search; write {choice: [...]} instead."
                )
            if not searched(space):
                raise experiment.bad("search_alg", "has nothing to search: no value is sampled.")
            with experiment.blame("search_alg"):
                made.set_search_properties(experiment.metric, experiment.mode, space)
    if experiment.reuse_actors and get_trainable_cls(experiment.run).reset_config in (
        Algorithm.reset_config,
    ):
        raise experiment.bad("reuse_actors", f"{experiment.run} cannot take new settings.")


def _check_mutation(experiment: Experiment, path: tuple[Any, ...], domain: Any) -> None:
    """Ranges are multiplied, so what they begin with must be a number."""
    where = f"scheduler.{search.MUTATIONS}.{'.'.join(map(str, path))}"
    if not isinstance(domain, list | Categorical | Float | Integer):
        raise experiment.bad(where, f"must be a list or a range; got {domain!r}.")
    for config in () if isinstance(domain, list | Categorical) else experiment.variants():
        value: Any = config
        for part in path:
            value = value.get(part, 1.0) if isinstance(value, dict) else value
        if not isinstance(value, int | float):
            raise experiment.bad(
                where, f"changes a number, but config.{'.'.join(map(str, path))} is {value!r}."
            )


def resources(experiment: Experiment, config: dict[str, Any]) -> float:
    """The CPUs that a trial reserves; with too few GPUs Ray would wait for ever.

    Raises:
        BadInput: If the GPUs are not there.
    """
    with experiment.blame("config"):
        algorithm: Any = get_trainable_cls(experiment.run)
        request = algorithm.default_resource_request(config)
    needs = request.required_resources
    have = torch.cuda.device_count()
    if needs.get("GPU", 0.0) > have and "RAY_ADDRESS" not in os.environ:
        raise experiment.bad("config", f"a trial needs {needs['GPU']:g} GPUs and {have} are here.")
    return needs.get("CPU", 0.0)


def _other_kind(default: Any, value: Any) -> str | None:
    """What a setting must be, if `value` is plainly not of its default's kind."""
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "true or false"
    if isinstance(default, int | float):
        # Schedules are lists, and RLlib finds some numbers itself.
        return "a number" if isinstance(value, bool | str | dict) and value != "auto" else None
    return "a mapping" if isinstance(default, dict) and not isinstance(value, dict) else None
