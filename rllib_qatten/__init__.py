"""Value decomposition for teams on RLlib: Qatten and its siblings, and what they play.

Importing the package registers its algorithms and environments with Tune: at once if RLlib is
already imported, otherwise as soon as it is. No part of Ray is imported for this, so that a trained
team acts without Ray; public names are imported on first use.
"""

from __future__ import annotations

import ast
import functools
import importlib
from pathlib import Path
from typing import Any

import wrapt

from rllib_qatten.algorithms.registry import ALGORITHMS, register_algorithm
from rllib_qatten.version import __version__  # noqa: F401 - a public name

_ENVS = ("smac", "matrix_game", "two_step_game", "pettingzoo", "gymnasium")


def _public_names() -> dict[str, str]:
    """Name -> module, read from the stub file next to this one: the only list."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text())
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


_HOMES = _public_names()
__all__ = sorted(_HOMES)

for _name, _home in _HOMES.items():
    if f"{_name}Config" in _HOMES:
        register_algorithm(f"{_home}:{_name}")


def __getattr__(name: str) -> Any:
    """Imports a public name, or that of an added algorithm, on first use (PEP 562)."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if not name.startswith("_"):
        if name in ALGORITHMS:
            return ALGORITHMS[name]
        if name.removesuffix("Config") in ALGORITHMS:
            return ALGORITHMS[name.removesuffix("Config")].config_class
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *ALGORITHMS})


def _register_envs(rllib_registry: Any) -> None:
    """RLlib may be half imported when this runs, so an env is imported only when needed."""
    from ray.tune.registry import register_env

    for name in _ENVS:
        register_env(name, functools.partial(_make_env, name))


def _make_env(name: str, config: dict[str, Any]) -> Any:
    from rllib_qatten.envs import env_creator

    return env_creator(name)(config)


wrapt.register_post_import_hook(_register_envs, "ray.rllib.algorithms.registry")
