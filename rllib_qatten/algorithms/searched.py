"""Search spaces as arguments of a config's methods, some of which look into what they are given."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.tune.search.sample import Domain

from rllib_qatten.algorithms.rllib_settings import attribute


def is_searched(value: Any) -> bool:
    """Whether Tune will put another value in the place of this one."""
    grid = isinstance(value, dict) and value.keys() == {"grid_search"}
    return grid or isinstance(value, Domain)


def holds_search(value: Any) -> bool:
    """Whether Tune will put another value in the place of this one, or of a part of it."""
    if is_searched(value):
        return True
    parts = value.values() if isinstance(value, dict) else value
    return isinstance(value, dict | list | tuple) and any(map(holds_search, parts))


def searchable(name: str) -> Callable[..., Any]:
    """RLlib's method of this name, which takes search spaces for all of its arguments."""
    method = getattr(AlgorithmConfig, name)
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind_partial(self, *args, **kwargs).arguments
        except TypeError:
            return method(self, *args, **kwargs)  # says the same of itself, by name
        searched = {key: value for key, value in given.items() if is_searched(value)}
        method(**{key: value for key, value in given.items() if key not in searched})
        for key, value in searched.items():
            setattr(self, attribute(key), value)
        return self

    return call
