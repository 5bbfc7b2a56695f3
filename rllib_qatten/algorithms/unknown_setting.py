"""Why a setting is refused: it is another algorithm's, or nobody's."""

from __future__ import annotations

import inspect
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from rllib_qatten.algorithms.old_names import known_setting
from rllib_qatten.algorithms.registry import ALGORITHMS
from rllib_qatten.errors import BadInput


class UnknownSetting(BadInput, TypeError):
    """A setting that an algorithm does not have; also a TypeError, as for any unknown argument."""


def unknown_setting(key: str, config: Any) -> UnknownSetting:
    """The error for a setting that a config does not have, with the available ones."""
    if told := of_others(key, config):
        return UnknownSetting(told)
    try:
        known_setting(key, config.keys(), f"config key of {config.name}")
    except ValueError as error:
        return UnknownSetting(str(error))
    methods = [
        name
        for name, method in inspect.getmembers(AlgorithmConfig, inspect.isfunction)
        if key in inspect.signature(method).parameters
    ]
    how = f"config.{methods[0]}({key}=...)" if methods else f"config.{key} = ..."
    return UnknownSetting(f"{key} is not an argument of training(); set it with {how}.")


def of_others(key: str, config: Any) -> str:
    """What is said of a setting that only other algorithms have; "" of any other key."""
    owners = [name for name in ALGORITHMS if key in _options(name)]
    if not owners:
        return ""
    own = ", ".join(config.options) or "none"
    return (
        f"{config.name} has no use for {key}: nothing in its mixer or loss reads it. It is a "
        f"setting of {', '.join(owners)}; {config.name}'s besides the common ones: {own}."
    )


def _options(algorithm: str) -> dict[str, Any]:
    try:
        return ALGORITHMS[algorithm].config_class.options
    except BadInput:  # from a package that cannot be imported
        return {}
