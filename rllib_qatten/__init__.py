"""Value decomposition for teams on RLlib: Qatten and its siblings, and what they play.

Importing the package registers its algorithms and environments with Tune: at once if RLlib is
imported already, else as soon as it is. Nothing of Ray is imported for it, so that a trained team
acts without Ray; public names are imported when they are first used.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from rllib_qatten.algorithms import (
        ALGORITHMS,
        QMIX,
        QPLEX,
        QTRAN,
        VDN,
        WQMIX,
        IndependentQ,
        IndependentQConfig,
        Qatten,
        QattenConfig,
        QLinear,
        QLinearConfig,
        QMIXConfig,
        QPLEXConfig,
        QTRANConfig,
        VDNConfig,
        WQMIXConfig,
    )
    from rllib_qatten.envs import as_parallel_env, check_env
    from rllib_qatten.evaluation.team_policy import AgentPolicy, TeamPolicy

from rllib_qatten.version import __version__

#: Public name -> where it is. A name with a "...Config" beside it is an algorithm.
_HOMES = {
    **dict.fromkeys(
        (
            "ALGORITHMS",
            "QMIX",
            "QPLEX",
            "QTRAN",
            "VDN",
            "WQMIX",
            "IndependentQ",
            "IndependentQConfig",
            "QLinear",
            "QLinearConfig",
            "QMIXConfig",
            "QPLEXConfig",
            "QTRANConfig",
            "Qatten",
            "QattenConfig",
            "VDNConfig",
            "WQMIXConfig",
        ),
        "rllib_qatten.algorithms",
    ),
    **dict.fromkeys(("as_parallel_env", "check_env"), "rllib_qatten.envs"),
    **dict.fromkeys(("AgentPolicy", "TeamPolicy"), "rllib_qatten.evaluation.team_policy"),
}
_ENVS = ("smac", "matrix_game", "two_step_game", "pettingzoo", "gymnasium")

__all__ = [
    "ALGORITHMS",
    "QMIX",
    "QPLEX",
    "QTRAN",
    "VDN",
    "WQMIX",
    "AgentPolicy",
    "IndependentQ",
    "IndependentQConfig",
    "QLinear",
    "QLinearConfig",
    "QMIXConfig",
    "QPLEXConfig",
    "QTRANConfig",
    "Qatten",
    "QattenConfig",
    "TeamPolicy",
    "VDNConfig",
    "WQMIXConfig",
    "__version__",
    "as_parallel_env",
    "check_env",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def _register(rllib_registry: Any) -> None:
    """Adds our names to RLlib's own registry, where Tune looks up what it does not know.

    RLlib may be half imported when this runs, so each name is imported only when it is wanted.
    """
    from ray.tune.registry import register_env

    for name in _HOMES:
        if f"{name}Config" in _HOMES:
            rllib_registry.ALGORITHMS[name] = functools.partial(_algorithm, name)
    for name in _ENVS:
        register_env(name, functools.partial(_make_env, name))


def _algorithm(name: str) -> tuple[Any, Any]:
    """An algorithm's class and default config, as RLlib's registry wants them."""
    algorithm = __getattr__(name)
    return algorithm, algorithm.get_default_config()


def _make_env(name: str, config: dict[str, Any]) -> Any:
    from rllib_qatten.envs import env_creator

    return env_creator(name)(config)


wrapt.register_post_import_hook(_register, "ray.rllib.algorithms.registry")
