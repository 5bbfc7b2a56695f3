"""What the family's algorithms are: one config and one algorithm a file, and a registry of them."""

from rllib_qatten.algorithms.registry import ALGORITHMS, register_algorithm

__all__ = ["ALGORITHMS", "register_algorithm"]
