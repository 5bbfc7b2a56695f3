"""Imports what an experiment names by path, `my_package.my_module:MyEnv`."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import os
import pkgutil
import sys
from types import FunctionType, ModuleType
from typing import Any

import gymnasium as gym
from pettingzoo import AECEnv, ParallelEnv
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.errors import described, one_of

#: Packages of environments that the extra `envs` installs.
EXTRA_ENVS = ("mpe2", "lbforaging", "rware")


def load_module(name: str) -> ModuleType:
    """Imports a module from the current directory, PYTHONPATH or the installed packages.

    Raises:
        ModuleNotFoundError: If it does not exist, or needs one that is missing.
        ValueError: If importing it raises, with that error.
    """
    if not {"", os.getcwd()} & set(sys.path):
        # A console script has its own folder there instead of the user's.
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not f"{name}.".startswith(f"{missing}."):
            raise ModuleNotFoundError(
                f"The module {name!r} imports {missing!r}, which is not installed."
            ) from error
        raise ModuleNotFoundError(
            f"No module {missing!r} in {os.getcwd()}, in PYTHONPATH or among the "
            f"installed packages.{_nearest_module(missing)}"
        ) from error
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise ValueError(
            f"Importing {name!r} raised {described(error)} "
            f"(python -c 'import {name}' shows all of it)"
        ) from error


def load_attribute(path: str) -> Any:
    """Imports the class or function that `module:name` names.

    Raises:
        ModuleNotFoundError: See `load_module`.
        ValueError: If the module has no such name (suggesting the nearest), or it is not callable.
    """
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise ValueError(f"{path!r} is not the path of a class: write my_package.my_module:MyEnv.")
    module = load_module(module_name)
    if not hasattr(module, name):
        own = [key for key, value in vars(module).items() if _is_own(value, module)]
        one_of(name, own, f"class or function in {module_name}")
    found = getattr(module, name)
    if not callable(found):
        raise ValueError(
            f"{path} is a {type(found).__name__}: name a MultiAgentEnv class, a ParallelEnv class, "
            "or a function that takes env_config and returns an env."
        )
    return found


def load_env(path: str) -> Any:
    """Imports the environment's class, or the function that makes it, that `module:name` names.

    Raises:
        ModuleNotFoundError: See `load_module`.
        ValueError: As `load_attribute`, or for any other callable: a file of settings must not run
            `subprocess:run`.
    """
    module = path.partition(":")[0]
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise ValueError(f"{path} is part of Python, not an environment.")
    found = load_attribute(path)
    if isinstance(found, type):
        if issubclass(found, MultiAgentEnv | ParallelEnv | AECEnv | gym.Env):
            return found
        reason = (
            "is a class, but not an environment: subclass "
            "ray.rllib.env.multi_agent_env.MultiAgentEnv or pettingzoo.ParallelEnv"
        )
    elif not isinstance(found, FunctionType):
        reason = (
            f"is a {type(found).__name__}: name an environment's class, or a function that takes "
            "env_config and returns an env"
        )
    elif found.__module__ != module:
        reason = f"is defined in another module: write {found.__module__}:{found.__name__}"
    else:
        return found
    raise ValueError(f"{path} {reason}.")


def engine_name(name: str, module: str) -> str:
    """A name with the version of the package that a module belongs to, if that is known."""
    package = module.partition(".")[0]
    try:
        return f"{name} ({package} {importlib.metadata.version(package)})"
    except importlib.metadata.PackageNotFoundError:
        return name


def _is_own(value: Any, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _nearest_module(name: str) -> str:
    """A hint: where a missing module comes from, or the module with the nearest name."""
    if name in EXTRA_ENVS:
        return " It is part of the extra 'envs': pip install 'rllib-qatten[envs]'."
    parent, dot, last = name.rpartition(".")
    folders = getattr(sys.modules[parent], "__path__", ()) if parent else None
    beside = [module.name for module in pkgutil.iter_modules(folders)]
    close = difflib.get_close_matches(last, beside, n=1, cutoff=0.7)
    return f" Did you mean {parent + dot + close[0]!r}?" if close else ""
