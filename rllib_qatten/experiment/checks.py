"""Checks an experiment before Ray starts, and builds the parts of its Tuner on the way.

The rest of the command can trust an experiment that passed.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.tune.result import TRAINING_ITERATION
from ray.tune.search import Searcher
from ray.tune.search.sample import Categorical, Float, Integer

from rllib_qatten import keys
from rllib_qatten.agents import check_entities, sharing_groups
from rllib_qatten.algorithms.own_env_runner import check_same_sizes
from rllib_qatten.algorithms.resolve import algorithm_class
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.checkpoints.other_team import initial_weights
from rllib_qatten.envs import TeamSpec, check_env, declare, env_creator, vectorizes
from rllib_qatten.envs.team import TeamSpace
from rllib_qatten.errors import described, one_of
from rllib_qatten.experiment import search
from rllib_qatten.experiment.experiment import Experiment
from rllib_qatten.experiment.resources import check_counts, check_resources
from rllib_qatten.experiment.search_space import grids, searched
from rllib_qatten.experiment.settings import check_kinds, validated
from rllib_qatten.experiment.trackers import TRACKERS
from rllib_qatten.experiment.tuner import Plan
from rllib_qatten.experiment.typed import shown
from rllib_qatten.messages import say_once

#: Keys that Tune itself adds to every result, besides those in `KEYS`.
TUNE_KEYS = ("time_this_iter_s", "time_since_restore", "iterations_since_restore")
#: Keys of results that begin at 0 and grow.
COUNTS = re.compile(r"training_iteration|time_\w+|iterations_since_restore|(.*/)?\w+_lifetime")
#: Population members start from each other's checkpoints: Tune asks for more than two.
PBT_KEEPS = 3
#: Limits: each trial has a folder and a row, and each value of a grid is checked.
MAX_TRIALS, MAX_VARIANTS = 100_000, 1_000
#: File systems that Ray finds from an address.
SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs", "mock")


def check(experiment: Experiment, continues: bool = False) -> Plan:
    """Checks everything that does not need Ray to run.

    Args:
        experiment: The experiment.
        continues: Whether it goes on from its own checkpoints, where it began does not matter then.

    Returns:
        The experiment with the parts of its Tuner.

    Raises:
        BadInput: For the first fault, with file and key.
    """
    with experiment.locating("run"):
        algorithm = algorithm_class(experiment.run)
    if experiment.environment is None:
        raise experiment.error("env", "is missing: name what is played; rllib envs lists it.")
    if experiment.env not in (None, experiment.environment):
        raise experiment.error(
            "config.env", f"is another one than env, {experiment.env}, outside config: keep one."
        )
    _check_goals(experiment)
    _check_storage(experiment)
    _check_numbers_of_trials(experiment)
    variants = list(experiment.variants())
    for config in variants:
        check_kinds(experiment, algorithm, config)
        check_counts(experiment, config)
    metric = experiment.metric or keys.RETURN
    if issubclass(algorithm, ValueDecomposition):
        _check_result_keys(experiment)
        battle = _check_settings(experiment, algorithm, variants, continues)
        metric = experiment.metric or (keys.GREEDY_WINS if battle else keys.GREEDY_RETURN)
    cpus = max(check_resources(experiment, algorithm, config) for config in variants)
    if experiment.reuse_actors and algorithm.reset_config is Algorithm.reset_config:
        raise experiment.error("reuse_actors", f"{experiment.run} cannot take new settings.")
    trackers = []
    for key, make in TRACKERS.items():
        if options := getattr(experiment, key):
            with experiment.locating(key):
                trackers.append(make(options))
    return Plan(
        experiment,
        # Tune knows registered trainables by name.
        algorithm if ":" in experiment.run else experiment.run,
        metric,
        cpus,
        _scheduler(experiment),
        _search_alg(experiment, metric),
        trackers,
    )


def _check_storage(experiment: Experiment) -> None:
    """Checks that results can be written to their folder; leaves nothing there."""
    if experiment.storage_path is not None and not experiment.storage_path.strip():
        raise experiment.error("storage_path", "is empty: name a folder.")
    if variable := re.search(r"\$\{?\w+\}?", str(experiment.storage_path)):
        raise experiment.error(
            "storage_path",
            f"holds {variable[0]}, which nothing here replaces: write the folder's name, or let "
            "the shell do it, with double quotes or none around --storage-path's.",
        )
    there: Any = shown(str(experiment.storage_path))
    try:
        folder = experiment.folder
        if isinstance(folder, Path):
            # The nearest existing folder must accept new ones.
            there = next(path for path in (folder, *folder.parents) if path.exists())
            with tempfile.TemporaryFile(dir=there):
                return
    except (OSError, ValueError, RuntimeError) as error:  # NUL bytes, unknown users' homes
        raise experiment.error(
            "storage_path",
            f"results cannot be written in {there}: {getattr(error, 'strerror', error)}. Name "
            "another folder with --storage-path.",
        ) from error
    address = urlsplit(str(experiment.storage_path))
    with experiment.locating("storage_path"):
        one_of(address.scheme, SCHEMES, "kind of address")
    if not address.netloc:
        raise experiment.error("storage_path", "names no bucket or host, as in s3://bucket.")


def _check_numbers_of_trials(experiment: Experiment) -> None:
    for path, domain in experiment.mutated.items():
        if not isinstance(domain, list | Categorical | Float | Integer):
            raise experiment.error(
                _mutation(path), f"must be a list or a range; got {shown(domain)}."
            )
    trials = experiment.num_trials
    if trials > MAX_TRIALS:
        key = "num_samples" if experiment.num_samples > MAX_TRIALS else "config"
        raise experiment.error(key, f"makes {trials:,} trials; the limit is {MAX_TRIALS:,}.")
    values = [*searched(experiment.param_space).values()]
    if sum(map(len, values)) > MAX_VARIANTS:
        raise experiment.error("config", f"varies in more than {MAX_VARIANTS:,} values.")


def _check_goals(experiment: Experiment) -> None:
    """Checks that no goal of `stop` is met before anything has run."""
    for key, goal in experiment.stop.items():
        if COUNTS.fullmatch(key) and goal <= 0:
            raise experiment.error(
                f"stop.{key}", f"is met before the run begins: must be above 0; got {goal:g}."
            )


def _check_result_keys(experiment: Experiment) -> None:
    """Checks that results will have the named keys; known for this package's algorithms only."""
    named = _stops(experiment) | _scored(experiment)
    if isinstance(experiment.scheduler, dict):
        named["scheduler.time_attr"] = experiment.scheduler.get("time_attr")
    for where, key in named.items():
        # Numbered keys form a family: head_3_entropy is like head_0_entropy.
        if key is not None and re.sub(r"\d+", "0", str(key)) not in keys.KEYS:
            with experiment.locating(where):
                one_of(str(key), [*keys.KEYS, *TUNE_KEYS], "key of a result")


def _stops(experiment: Experiment) -> dict[str, str | None]:
    return {f"stop.{key}": key for key in experiment.stop}


def _scored(experiment: Experiment) -> dict[str, str | None]:
    """The keys of results that trials or checkpoints are ranked by."""
    return {
        "metric": experiment.metric,
        "checkpoint_config.checkpoint_score_attribute": (
            experiment.checkpoint_config.checkpoint_score_attribute
        ),
    }


def _check_settings(
    experiment: Experiment,
    algorithm: type[Algorithm],
    variants: list[dict[str, Any]],
    continues: bool,
) -> bool:
    """Checks settings and environments; returns whether all of these are battles."""
    first = None
    specs: dict[str, TeamSpec] = {}
    for config in variants:
        settings: Any = validated(experiment, algorithm, config)
        spec = _spec(experiment, settings, specs)
        evaluated = spec
        if settings.evaluation_interval:
            greedy: Any = settings.get_evaluation_config_object()
            if (greedy.env, greedy.env_config) != (settings.env, settings.env_config):
                evaluated = _spec(experiment, greedy, specs, "evaluation_config.")
                with experiment.locating("config.evaluation_config"):
                    check_same_sizes(spec, evaluated)
        _check_scores(experiment, settings, spec, evaluated)
        with experiment.locating("config.agent"):
            check_entities(settings.agent, spec.entities)
        if settings.init_from is not None and not continues:
            _check_init(experiment, settings, spec)
        network = (settings._model_config_auto_includes, settings.optimizer_name)
        first = first or network
        if network != first and experiment.mutated:
            raise experiment.error(
                "scheduler",
                "trials copy each other's weights, so all need the same network, mixer and "
                "optimizer.",
            )
    return all(spec.is_battle for spec in specs.values())


def _check_scores(
    experiment: Experiment, settings: Any, spec: TeamSpec, evaluated: TeamSpec
) -> None:
    """Checks that results of these settings have the keys that they are ranked and stopped by."""
    every, last = settings.evaluation_interval, experiment.stop.get(TRAINING_ITERATION)
    for where, key in (_stops(experiment) | _scored(experiment)).items():
        greedy = str(key).startswith(keys.EVALUATION)
        if str(key).endswith(keys.WIN_RATE) and not (evaluated if greedy else spec).is_battle:
            raise experiment.error(where, f"no result has {key}: {settings.env} is not a battle.")
        if greedy and not every:
            raise experiment.error(where, f"no result has {key}: evaluation_interval is not set.")
    compares = experiment.scheduler or experiment.search_alg
    if compares and experiment.metric is None and not every:
        raise experiment.error(
            "metric",
            "is missing: without it trials are compared by greedy games, and evaluation_interval "
            f"is not set. Set that, or name a key of every result: metric: {keys.RETURN}.",
        )
    if every and last is not None and last < every:
        say_once(
            f"{experiment.name} plays no greedy games, which are its trials' score: the first "
            f"would follow iteration {every} (evaluation_interval), and training stops after "
            f"{last:g}."
        )


def _check_init(experiment: Experiment, settings: Any, spec: TeamSpec) -> None:
    """Checks that the agent network can begin as another one."""
    with torch.device("meta"):  # only shapes
        module = settings.rl_module_class(
            observation_space=TeamSpace(spec),
            model_config=settings._model_config_auto_includes,
            inference_only=True,
        )
    with experiment.locating("config.init_from"):
        initial_weights(settings.init_from, module.layout, module.agent_settings, spec)


def _spec(
    experiment: Experiment, settings: Any, known: dict[str, TeamSpec], inside: str = ""
) -> TeamSpec:
    """Plays random games; returns the team's sizes.

    Args:
        experiment: For messages.
        settings: The config that is played with.
        known: The sizes so far, to which these are added.
        inside: The setting that holds these, for messages.
    """
    # Creating a battle takes a moment, and most variants play the same one.
    shared = settings.team_reward, settings.parameter_sharing
    played = repr((settings.env, settings.env_config, *shared))
    if played not in known:
        at = f"config.{inside}env" if inside else "env"
        with experiment.locating(at):
            create = env_creator(settings.env)
        with experiment.locating(f"config.{inside}env_config"):
            with _made_by(experiment, settings.env, inside):
                env = create(settings.env_config)
            declared = declare(env)
            # An engine with its own vector of teams meets the contract by construction.
            if not vectorizes(env):
                check_env(env, team_reward=settings.team_reward)
            env.close()
        known[played] = declared.spec
    spec = known[played]
    with experiment.locating(f"config.{inside}parameter_sharing"):
        sharing_groups(settings.parameter_sharing, spec.n_agents, spec.unit_types)
    return spec


@contextlib.contextmanager
def _made_by(experiment: Experiment, env: Any, inside: str) -> Iterator[None]:
    """Attributes errors to the env."""
    try:
        yield
    except (ValueError, ModuleNotFoundError):  # messages
        raise
    except Exception as error:
        if found := re.search(r"unexpected keyword argument '(\w+)'", str(error)):
            raise experiment.error(
                f"config.{inside}env_config.{found[1]}", f"{env} takes no such setting."
            ) from error
        raise experiment.error(
            f"config.{inside}env" if inside else "env",
            f"creating {env} raised {described(error)}",
        ) from error


def _scheduler(experiment: Experiment) -> Any:
    """Builds the scheduler, if there is one."""
    if not experiment.scheduler:
        return None
    with experiment.locating("scheduler"):
        made = search.scheduler(experiment.scheduler)
    for path, domain in experiment.mutated.items():
        _check_mutation(experiment, path, domain)
    keep = experiment.checkpoint_config.num_to_keep
    if experiment.mutated and keep is not None and keep < PBT_KEEPS:
        raise experiment.error(
            "checkpoint_config.num_to_keep",
            f"must be {PBT_KEEPS} or more, or a trial's checkpoint may be gone before another "
            f"one takes it over; got {keep}.",
        )
    return made


def _search_alg(experiment: Experiment, metric: str) -> Any:
    """Builds the search algorithm, if there is one."""
    if not experiment.search_alg:
        return None
    with experiment.locating("search_alg"):
        made = search.searcher(experiment.search_alg, experiment.max_concurrent_trials)
    if isinstance(made, Searcher):
        space = experiment.param_space
        if experiment.mutated:
            raise experiment.error("search_alg", "does not work with a scheduler that mutates.")
        if grids(space):
            raise experiment.error(
                "search_alg", "takes no grid_search; write {choice: [...]} instead."
            )
        if not searched(space):
            raise experiment.error("search_alg", "has nothing to search: no setting is sampled.")
        with experiment.locating("search_alg"):
            # Tune gives a searcher its space once; this shows whether it accepts it.
            made.convert_search_space(space)
    return made


def _mutation(path: tuple[Any, ...]) -> str:
    return f"scheduler.{search.MUTATIONS}.{'.'.join(map(str, path))}"


def _check_mutation(experiment: Experiment, path: tuple[Any, ...], domain: Any) -> None:
    """Ranges are perturbed by multiplication, so their initial value must be a number."""
    where = _mutation(path)
    for config in () if isinstance(domain, list | Categorical) else experiment.variants():
        value: Any = config
        for part in path:
            value = value.get(part, 1.0) if isinstance(value, dict) else value
        if not isinstance(value, int | float):
            raise experiment.error(
                where, f"changes a number, but config.{'.'.join(map(str, path))} is {value!r}."
            )
