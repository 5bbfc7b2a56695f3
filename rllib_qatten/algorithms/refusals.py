"""Refuses RLlib's settings that would have no effect, before anything is built with them."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.policy import PolicySpec
from ray.tune.result import STDERR_FILE, STDOUT_FILE, TRIAL_INFO

from rllib_qatten.algorithms.callback_checks import check_callbacks, check_evaluation_callbacks
from rllib_qatten.algorithms.old_names import known_setting
from rllib_qatten.algorithms.rllib_settings import ALIASED, CANNOT, NOT_USED, attribute, public
from rllib_qatten.rollout.env_runner import TeamEnvRunner
from rllib_qatten.rollout.exploration import EpsilonSchedule

#: Attributes that RLlib and Tune add to a config internally.
_ADDED = {"class", "worker_index", "num_workers", TRIAL_INFO, STDOUT_FILE, STDERR_FILE}
#: RLlib itself overwrites these for evaluation.
_SET_FOR_EVALUATION = ("batch_mode", "rollout_fragment_length")
#: What RLlib's own code turns a default into before or during validation.
_ALSO_DEFAULT: dict[str, tuple[Any, ...]] = {
    "simple_optimizer": (False,),
    "_is_atari": (False,),
    "policy_mapping_fn": (
        AlgorithmConfig.DEFAULT_POLICY_MAPPING_FN,
        AlgorithmConfig.DEFAULT_AGENT_TO_MODULE_MAPPING_FN,
    ),
    "policies_to_train": ([DEFAULT_MODULE_ID], (DEFAULT_MODULE_ID,), {DEFAULT_MODULE_ID}),
}
#: Settings that sampling reads, so that evaluation may have its own; callbacks as well.
PLAYING = (
    *("env", "env_config", "explore", "epsilon", "team_reward", "seed", "env_runner_cls"),
    *("num_envs_per_env_runner", "num_cpus_per_env_runner", "custom_resources_per_env_runner"),
    *(
        "create_env_on_local_worker",
        "create_local_env_runner",
        "max_episode_steps",
    ),
    *("validate_env_runners_after_construction", "restart_failed_sub_environments", "log_level"),
    *("restart_failed_env_runners", "ignore_env_runner_failures", "max_num_env_runner_restarts"),
    *("env_runner_health_probe_timeout_s", "delay_between_env_runner_restarts_s"),
)


def check_rllib_settings(config: Any) -> None:
    """Refuses settings that would have no effect or would not work.

    Raises:
        ValueError: For the first such setting, naming it and what to use instead, or the reason.
    """
    defaults = vars(_untouched(_ours(type(config))))
    known = vars(_untouched(type(config))).keys() | _ADDED
    for name in vars(config):
        known_setting(name, known, f"setting of {config.name}")
    for table, verdict in ((NOT_USED, "is not used here"), (CANNOT, "cannot work here")):
        for name, why in table.items():
            if config.in_evaluation and name in _SET_FOR_EVALUATION:
                continue
            value = getattr(config, name, defaults[name])
            if not _stands(name, value, defaults[name]):
                shown = reprlib.repr(_changed(value, defaults[name]))
                raise ValueError(f"{public(name)} {verdict}, but is {shown}: {why}.")
    _check_classes(config)
    check_callbacks(config)
    _check_policy(config)
    _check_evaluation(config)


def _untouched(config_class: type) -> Any:
    return config_class()


def _ours(config_class: type) -> type:
    """The config of this package that a user's own subclasses: its defaults count."""
    return next(c for c in config_class.__mro__ if c.__module__.startswith("rllib_qatten."))


def _stands(name: str, value: Any, default: Any) -> bool:
    """Whether a setting is at its default."""
    if name == "policies":
        return set(value) == {DEFAULT_MODULE_ID} and not _specified(value)
    also = _ALSO_DEFAULT.get(name, ())
    try:
        return value is default or any(bool(value == other) for other in (default, *also))
    except ValueError:  # of arrays
        return False


def _specified(policies: Any) -> bool:
    """Whether `policies` says more about the one policy than its name."""
    spec = policies[DEFAULT_MODULE_ID] if isinstance(policies, dict) else None
    if isinstance(spec, PolicySpec):
        spec = vars(spec)
    values = spec.values() if isinstance(spec, dict) else spec or ()
    return any(value not in (None, {}) for value in values)


def _changed(value: Any, default: Any) -> Any:
    """For a dict, only the entries that differ."""
    if isinstance(value, dict) and isinstance(default, dict):
        return {k: v for k, v in value.items() if k not in default or v != default[k]} or value
    return value


def _check_classes(config: Any) -> None:
    """A user's classes must subclass this package's."""
    for name, value, base in (
        ("env_runner_cls", config.env_runner_cls, TeamEnvRunner),
        ("learner_class", config.learner_class, config.get_default_learner_class()),
    ):
        if not (isinstance(value, type) and issubclass(value, base)):
            raise ValueError(
                f"{name} must be a subclass of {base.__module__}.{base.__name__}, which plays or "
                f"learns from whole games of a team; got {value!r}."
            )
    needed = _untouched(_ours(type(config))).stats_cls_lookup.keys()
    if missing := sorted(needed - config.stats_cls_lookup.keys()):
        raise ValueError(
            f"custom_stats_cls_lookup lacks {', '.join(missing)}, which results here need: RLlib "
            "replaces its classes by those given, so include config.stats_cls_lookup's as well: "
            "{**config.stats_cls_lookup, ...}."
        )


def _check_policy(config: Any) -> None:
    """A user's policy must subclass this package's, and leave the other settings to it."""
    spec, base = config._rl_module_spec, config.rl_module_class
    must = f"rl_module_spec must be an RLModuleSpec whose module_class subclasses {base.__name__}"
    own_class = None
    if spec is not None:
        if not isinstance(spec, RLModuleSpec):
            raise ValueError(f"{must}: a team has one policy. Got {reprlib.repr(spec)}.")
        own_class = spec.module_class
        if own_class is not None and not issubclass(own_class, base):
            raise ValueError(
                f"{must}, as it must act for all agents and have mixer and targets; got "
                f"{own_class.__name__}. For another agent network, see the setting agent."
            )
        for name in ("observation_space", "action_space", "catalog_class"):
            if getattr(spec, name) is not None:
                raise ValueError(
                    f"{must}, without {name}: spaces come from the env, networks from the settings."
                )
        if spec.inference_only or spec.learner_only:
            raise ValueError(f"{must}; inference_only and learner_only are set where it is built.")
    for given in (config._model_config, spec and spec.model_config):
        _check_model_config(config, given, own_class)


def _check_model_config(config: Any, given: Any, own_class: type | None) -> None:
    """A model config may hold what the user's own module class reads, and none of the settings."""
    if not given:
        return
    if not isinstance(given, dict):
        raise ValueError(
            f"model_config is not used here, but is a {type(given).__name__}: {NOT_USED['model']}."
        )
    settings = config._model_config_auto_includes
    for name in given:
        if name in settings:
            raise ValueError(
                f"model_config sets {name!r}, which is a setting of training(), so that it is "
                f"checked and kept: training({name}=...)."
            )
        if own_class is None:
            raise ValueError(
                f"model_config sets {name!r}, which no network here reads: {NOT_USED['model']}."
            )


def _check_evaluation(config: Any) -> None:
    """Evaluation may have its own settings for sampling; any others would be ignored."""
    given, function = config.evaluation_config, config.custom_evaluation_function
    if function is not None and not (callable(function) and _takes_two(function)):
        raise ValueError(
            "custom_evaluation_function must be a function of the algorithm and its evaluation's "
            f"env runners; got {function!r}."
        )
    if not isinstance(given, dict):
        return  # a config object is checked when it becomes the evaluation's
    whole = config.to_dict()
    if len(given) > len(whole) / 2:
        raise ValueError(
            "evaluation_config is a whole config, and it cannot be told which of its settings were "
            "meant: give only what differs, as a dict or by "
            f"{type(config).__name__}.overrides(explore=True)."
        )
    check_evaluation_callbacks(config)
    names = [*whole, *map(public, vars(config))]
    for key, value in given.items():
        known_setting(key, [*names, *ALIASED], f"key of evaluation_config of {config.name}")
        name = config._translate_special_keys(attribute(key), warn_deprecated=False)
        if name == "num_env_runners":
            raise ValueError(
                "evaluation_config sets num_env_runners, which RLlib overwrites: set "
                "evaluation_num_env_runners next to evaluation_config."
            )
        if name.startswith("evaluation_") or name == "custom_evaluation_function":
            raise ValueError(f"evaluation_config sets {key}, which is set next to it, not in it.")
        if name in PLAYING or name.startswith("callbacks") or name in NOT_USED or name in CANNOT:
            continue  # evaluation's own config refuses any of the last two that is set
        if not _stands(name, value, getattr(config, name)):
            raise ValueError(
                f"evaluation_config sets {key} to {reprlib.repr(value)}, but evaluation only plays "
                f"with what was learned: {key} would have no effect. It may set "
                f"{', '.join(sorted(PLAYING))}, and callbacks."
            )
    if "epsilon" in given:
        EpsilonSchedule(given["epsilon"], "evaluation_config.epsilon")
        if given.get("explore") is False and given["epsilon"] != 0:
            raise ValueError(
                f"evaluation_config sets epsilon to {given['epsilon']}, but has explore: false, as "
                "by default, so that evaluation is greedy: set explore: true with it."
            )


def _takes_two(function: Callable[..., Any]) -> bool:
    """Whether a function can be called with two values; one without a signature may."""
    try:
        inspect.signature(function).bind(None, None)
    except (TypeError, ValueError) as error:
        return isinstance(error, ValueError)
    return True


def check_env(env: Any) -> None:
    """Refuses what RLlib cannot make games of.

    Raises:
        ValueError: If it is neither a class nor a name, with how to hand it over.
    """
    if isinstance(env, str | type):
        return
    if env is None:
        why = "there is none: environment(MyEnv, env_config={...})"
    elif isinstance(env, gym.Env) or hasattr(env, "reset"):
        kind = type(env).__name__
        why = f"this is one, and every env runner makes its own: give its class, {kind}"
    elif callable(env):
        name = getattr(env, "__name__", "").strip("<>") or "make_env"
        why = (
            f"to make it by a function, register that by a name, ray.tune.register_env('my_env', "
            f"{name}), and give the name, environment('my_env')"
        )
    else:
        why = f"got {reprlib.repr(env)}"
    raise ValueError(
        f"env must be a class, a registered name or a path, 'my_package.my_module:MyEnv'; {why}."
    )


def check_env_config(env_config: Any) -> None:
    """Refuses an `env_config` that is not settings by name.

    Raises:
        ValueError: If it is not a dict.
    """
    if env_config is not NotProvided and not isinstance(env_config, dict):
        raise ValueError(
            f"env_config must be a dict of the env's settings, by name; got {env_config!r}."
        )


def check_gpus(config: Any) -> None:
    """Refuses a GPU that this process, where the one local learner is, does not see.

    Raises:
        ValueError: If there is no GPU with that index.
    """
    here = torch.cuda.device_count()
    if config.num_gpus_per_learner and not config.num_learners and here <= config.local_gpu_idx:
        raise ValueError(
            f"num_gpus_per_learner is {config.num_gpus_per_learner} and local_gpu_idx "
            f"{config.local_gpu_idx}, but torch sees {here} GPUs in this process: set "
            "num_gpus_per_learner to 0, or num_learners to 1 for a learner on a node that has one."
        )


def check_learner_connectors(pieces: list[ConnectorV2]) -> None:
    """Refuses learner connectors that read RLlib's own episodes.

    Raises:
        ValueError: For the first such connector.
    """
    for piece in pieces:
        for base in type(piece).__mro__:
            if base is not ConnectorV2 and base.__module__.startswith("ray.rllib.connectors."):
                if base.__module__ == ConnectorV2.__module__:
                    continue
                raise ValueError(
                    f"learner_connector includes {type(piece).__name__}, made for RLlib's own "
                    "episodes; here episodes are TeamEpisodes, packed into one batch. A subclass "
                    "of ConnectorV2 that changes this batch works (docs/settings.md); to change "
                    "observations or rewards, wrap the env."
                )
