"""Which settings an algorithm has beside those that all share, and what they may be called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rllib_qatten.algorithms.rllib_settings import attribute
from rllib_qatten.mixers.options import Option, options_of, union


def own_options(config_class: Any, shared: Mapping[str, Any]) -> dict[str, Option]:
    """The options of a config class's mixer and of its `option_sources`.

    Args:
        config_class: A subclass of `ValueDecompositionConfig`.
        shared: The settings that all configs have.

    Raises:
        TypeError: If an option would replace one of them, or anything else that the class has; or
            if two of the same name have different defaults.
    """
    mixers = config_class.rl_module_class.mixer_options()
    options = union(mixers, options_of(*config_class.option_sources))
    for name, option in options.items():
        known = attribute(name)
        if known in shared or hasattr(config_class, known):
            kind = "a setting" if known in shared else "an attribute"
            raise TypeError(
                f"{option.owner}'s option {name} has the name of {kind} that "
                f"{config_class.__name__} has already, and would replace it: rename the option in "
                f"{option.owner}."
            )
    return options
