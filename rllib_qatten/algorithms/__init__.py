"""The family's algorithms: one config and one algorithm per file, and a registry of them."""

from rllib_qatten.algorithms.registry import ALGORITHMS, register_algorithm

__all__ = ["ALGORITHMS", "register_algorithm"]
