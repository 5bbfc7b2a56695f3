"""The one line; an installed package has an entry point instead."""

from rllib_qatten import register_algorithm

register_algorithm("soft_max.algorithm:SoftMaxQ")
