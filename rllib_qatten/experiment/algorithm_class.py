"""The algorithm that an experiment names."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.registry import ALGORITHMS as RLLIB_ALGORITHMS
from ray.tune.registry import get_trainable_cls

from rllib_qatten.algorithms import ALGORITHMS
from rllib_qatten.envs.import_path import load_attribute
from rllib_qatten.errors import one_of


def algorithm_class(run: str) -> type[Algorithm]:
    """The class behind `run`: a name of ours or of RLlib's, or `my_module:MyAlgorithm`.

    Raises:
        ValueError: If there is none of this name, or if it is not an algorithm.
        ModuleNotFoundError: If there is no such module.
    """
    if ":" not in run:
        one_of(run, {**ALGORITHMS, **RLLIB_ALGORITHMS}, "algorithm")
        return get_trainable_cls(run)
    found: Any = load_attribute(run)
    if not (isinstance(found, type) and issubclass(found, Algorithm)):
        raise ValueError(f"{run} is not an algorithm: name a subclass of RLlib's Algorithm.")
    return found
