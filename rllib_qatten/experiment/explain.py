"""Every setting of an experiment: its value, its default, its meaning, and where it comes from."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.layered_config import LayeredConfig
from rllib_qatten.experiment.experiment import Experiment
from rllib_qatten.experiment.settings import settings_model

#: RLlib's own settings that most runs are about, whether they were changed or not.
COMMON = (
    "env", "env_config", "lr", "gamma", "grad_clip", "num_env_runners", "num_learners",
    "num_gpus_per_learner", "seed",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: Its key in `config`.
        value: Its value.
        default: The algorithm's default.
        source: "default", the named set that brings it ("recipe smax"), "file" or "--set".
        meaning: Its documentation; "" if RLlib has none.
        shared: Whether it is RLlib's own and of no special interest here.
    """

    name: str
    value: Any
    default: Any
    source: str
    meaning: str
    shared: bool


def settings(
    algorithm: Any, given: dict[str, Any], changed: frozenset[str], source: str = "file"
) -> list[Setting]:
    """All settings of an algorithm, in the order in which RLlib lists them.

    Args:
        algorithm: Its class.
        given: The settings that the experiment has, sampled ones as they are written.
        changed: Those of them that the command line brought.
        source: Where the others of them come from.
    """
    default = algorithm.get_default_config()
    config = algorithm.get_default_config()
    plain = {key: value for key, value in given.items() if key not in ("env", "env_config")}
    named = {k: v for k, v in plain.items() if k in getattr(config, "named_sets", {})}
    # A searched name brings nothing yet.
    config.update_from_dict({k: v for k, v in named.items() if isinstance(v, str)})
    own = _own(config)
    found = []
    for name, field in settings_model(algorithm).model_fields.items():
        value, of = getattr(config, name, None), "default"
        if name in given:
            value, of = given[name], "command line" if name in changed else source
        elif isinstance(config, LayeredConfig) and (named_set := _bringer(config, name)):
            of = named_set
        meaning = " ".join((field.description or "").split())
        shared = name not in own and name not in COMMON and name not in given
        found.append(Setting(name, value, getattr(default, name, None), of, meaning, shared))
    return sorted(found, key=lambda setting: setting.shared)


def _own(config: AlgorithmConfig) -> set[str]:
    """This package's settings, and RLlib's that it has other defaults for."""
    if not isinstance(config, ValueDecompositionConfig):
        return set()
    declared = inspect.signature(ValueDecompositionConfig.training).parameters
    rllibs = AlgorithmConfig()
    plain = (int, float, str)
    other = {
        key
        for key in config.keys()
        # Whether parts of RLlib are added is no choice here.
        if isinstance(value := getattr(config, key, None), plain)
        and not isinstance(value, bool)
        and getattr(rllibs, key, None) != getattr(type(config)(config.algo_class), key, None)
    }
    return {*declared, *config.options, *other, "max_episode_steps"}


def _bringer(config: LayeredConfig, name: str) -> str:
    """The chosen named set that a setting has its value from; "" if none."""
    default = type(config)(config.algo_class)
    found = ""
    for setting, named in config.named_sets.items():
        chosen = getattr(config, setting)
        if chosen != getattr(default, setting) and name in named.get(chosen, {}):
            found = f"{setting} {chosen}"
    return found


def explained(experiment: Experiment, algorithm: Any, changed: frozenset[str]) -> list[Setting]:
    """All settings of an experiment."""
    given = dict(experiment.config) | {"env": experiment.environment}
    return settings(algorithm, given, changed)
