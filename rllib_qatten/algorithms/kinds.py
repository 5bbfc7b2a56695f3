"""What kind of value each setting takes, RLlib's included, which checks few of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from rllib_qatten.algorithms.rllib_settings import attribute, public
from rllib_qatten.algorithms.searched import holds_search


class Kind(NamedTuple):
    """A kind of value.

    Attributes:
        wanted: In words.
        fits: Whether a value is one.
    """

    wanted: str
    fits: Callable[[Any], bool]

    def also(self, other: Any) -> Kind:
        """This kind, or one value more."""
        named = "None" if other is None else repr(other)
        return Kind(f"{self.wanted}, or {named}", lambda v: v == other or self.fits(v))


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    return good and math.isfinite(value)


def whole(least: int) -> Kind:
    """Whole numbers from a least one on."""
    return Kind(
        f"a whole number, {least} or more",
        lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= least,
    )


SWITCH = Kind("true or false", lambda v: isinstance(v, bool))
AMOUNT = Kind("a number, 0 or more", lambda v: is_number(v) and v >= 0)
#: Nothing arrives within no time, and RLlib asks again at once.
WAIT = Kind("a number above 0", lambda v: is_number(v) and v > 0)
AMOUNTS = Kind(
    "a dict of numbers, 0 or more, by name",
    lambda v: isinstance(v, dict) and all(isinstance(k, str) and AMOUNT.fits(v[k]) for k in v),
)
FUNCTION = Kind("a function", callable)
SETTINGS = Kind("a dict", lambda v: isinstance(v, dict))
OVERRIDES = Kind("a dict of settings", lambda v: isinstance(v, dict | AlgorithmConfig))

#: Setting -> kind; validation.py has those that are one of a few names, and what depends on others.
KINDS: dict[str, Kind] = {
    **dict.fromkeys(
        (
            *("double_q", "standardize_rewards", "layer_norm", "orthogonal_init"),
            *("checkpoint_replay_buffer", "explore", "log_gradients", "log_sys_usage"),
            *("create_local_env_runner", "create_env_on_local_worker"),
            *("validate_env_runners_after_construction", "restart_failed_env_runners"),
            *("ignore_env_runner_failures", "restart_failed_sub_environments"),
            *("evaluation_parallel_to_training", "evaluation_force_reset_envs_before_iteration"),
            "_validate_config",
        ),
        SWITCH,
    ),
    **dict.fromkeys(
        (
            *("num_env_runners", "evaluation_num_env_runners", "num_learners", "local_gpu_idx"),
            *("min_sample_timesteps_per_iteration", "max_num_env_runner_restarts"),
            "num_consecutive_env_runner_failures_tolerance",
        ),
        whole(0),
    ),
    **dict.fromkeys(
        (
            *("train_batch_size_episodes", "replay_capacity_episodes", "target_update_episodes"),
            *("num_envs_per_env_runner", "n_step", "hidden_size"),
            "evaluation_auto_duration_min_env_steps_per_sample",
            "evaluation_auto_duration_max_env_steps_per_sample",
        ),
        whole(1),
    ),
    **dict.fromkeys(
        ("seed", "evaluation_interval", "min_train_timesteps_per_iteration"), whole(0).also(None)
    ),
    **dict.fromkeys(
        ("max_episode_steps", "evaluation_error_after_n_consecutive_skips"), whole(1).also(None)
    ),
    "evaluation_duration": whole(1).also("auto"),
    **dict.fromkeys(
        (
            *("num_cpus_for_main_process", "num_cpus_per_env_runner", "num_gpus_per_learner"),
            *("env_runner_health_probe_timeout_s", "env_runner_restore_timeout_s"),
            "delay_between_env_runner_restarts_s",
        ),
        AMOUNT,
    ),
    "num_cpus_per_learner": AMOUNT.also("auto"),
    **dict.fromkeys(("sample_timeout_s", "evaluation_sample_timeout_s"), WAIT.also(None)),
    **dict.fromkeys(
        ("min_time_s_per_iteration", "evaluation_unhealthy_workers_timeout_s"), AMOUNT.also(None)
    ),
    **dict.fromkeys(
        ("custom_resources_for_main_process", "custom_resources_per_env_runner"), AMOUNTS
    ),
    "custom_resources_per_learner": AMOUNTS.also(None),
    **dict.fromkeys(("torch_ddp_kwargs", "learner_config_dict", "stats_cls_lookup"), SETTINGS),
    attribute("learner_connector"): FUNCTION.also(None),
    "evaluation_config": OVERRIDES.also(None),
}


def check_kinds(config: Any) -> None:
    """Checks what kind of value each setting has.

    Raises:
        ValueError: For the first fault, with name, value and what is accepted. A search space in
            place of a value comes before all others.
    """
    for name, value in vars(config).items():
        if holds_search(value):
            raise ValueError(
                f"{public(name)} is a search space, {value!r}: give the config to a Tuner, whose "
                "trials get values."
            )
    for name in KINDS:
        check_kind(name, getattr(config, name), name)
    overridden = config.evaluation_config
    if isinstance(overridden, dict):
        for name in KINDS.keys() & overridden.keys():
            check_kind(name, overridden[name], f"evaluation_config.{name}")


def check_kind(name: str, value: Any, said: str) -> None:
    """Checks one value.

    Args:
        name: Of the setting.
        value: The value.
        said: What to call it.

    Raises:
        ValueError: If it is of another kind.
    """
    wanted, fits = KINDS[name]
    if not fits(value):
        raise ValueError(f"{public(said)} must be {wanted}; got {value!r}.")
