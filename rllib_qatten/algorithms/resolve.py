"""From an experiment's `run` to the trainable."""

from __future__ import annotations

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.registry import ALGORITHMS as RLLIB_ALGORITHMS

from rllib_qatten.algorithms.registry import ALGORITHMS, register_algorithm
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.envs.import_path import load_attribute
from rllib_qatten.errors import BadInput, one_of


def algorithm_class(run: str) -> type[Algorithm]:
    """The trainable that an experiment's `run` names.

    Args:
        run: A name of this package's or RLlib's, or the path of an algorithm's class,
            "my_package.my_module:MyAlgorithm". If that is one of the family, it is registered, so
            that its class's name is known from then on.

    Raises:
        ValueError: If there is none, with the nearest name, or it is not an algorithm.
        ModuleNotFoundError: If the path's module is missing.
    """
    if ":" in run:
        found = load_attribute(run)
        if not isinstance(found, type) or not issubclass(found, Algorithm):
            raise BadInput(f"{run} is not an algorithm: name a subclass of RLlib's Algorithm.")
        if issubclass(found, ValueDecomposition):
            register_algorithm(found)
        return found
    if run in ALGORITHMS:
        return ALGORITHMS[run]
    what = "algorithm (your own: its path, my_package.my_module:MyAlgorithm)"
    one_of(run, {*ALGORITHMS, *RLLIB_ALGORITHMS}, what)
    return RLLIB_ALGORITHMS[run]()[0]
