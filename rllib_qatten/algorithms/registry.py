"""Which algorithms there are, by name; each is imported when it is first asked for.

Nothing of Ray is imported here, so that a trained team acts without it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from collections.abc import Iterator, Mapping
from typing import Any

import wrapt

from rllib_qatten.errors import BadInput
from rllib_qatten.messages import say

#: Group of entry points by which a package provides algorithms: `MyQ = "my_package.my_q:MyQ"`.
GROUP = "rllib_qatten.algorithms"


class _Registry(Mapping[str, Any]):
    """Trainable name -> algorithm."""

    def __init__(self) -> None:
        self._registered: dict[str, str | type] = {}
        self._searched = False

    def add(self, name: str, home: str | type) -> None:
        known = self._registered.setdefault(name, home)
        if _path(known) != _path(home):
            raise BadInput(
                f"There is an algorithm named {name} already, {_path(known)}: give {_path(home)} "
                "another name."
            )

    def __getitem__(self, name: str) -> Any:
        home = self._all[name]
        return home if isinstance(home, type) else _imported(name, home)

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, name: object) -> bool:
        return name in self._all

    @property
    def _all(self) -> dict[str, str | type]:
        """Includes those of installed packages, which are looked up once."""
        if not self._searched:
            self._searched = True
            for entry in importlib.metadata.entry_points(group=GROUP):
                try:
                    if entry.name != entry.attr:
                        raise BadInput(f"it must have the algorithm's own name, {entry.attr}")
                    self.add(entry.name, entry.value)
                except BadInput as error:  # a faulty package must not stop anything else
                    say(f"Entry point {entry.name} = {entry.value} of {GROUP} is ignored: {error}")
        return self._registered


#: Trainable name -> algorithm; tests run over it.
ALGORITHMS = _Registry()


def register_algorithm(algorithm: str | type) -> str | type:
    """Makes an algorithm known by its class's name: to Tune, `rllib`, this package and its tests.

    An installed package needs no call, but an entry point of the group `rllib_qatten.algorithms`.

    Args:
        algorithm: A subclass of `ValueDecomposition`, or where it is:
            "my_package.my_module:MyAlgorithm". Processes that Ray starts must be able to import it.

    Returns:
        The argument, so that this also works as a class decorator.

    Raises:
        BadInput: If another algorithm has the name, or it is not the path of a class.
    """
    module, _, name = _path(algorithm).rpartition(":")
    if not module or not name.isidentifier():
        raise BadInput(
            f"{algorithm!r} is not an algorithm's path: write my_package.my_module:MyAlgorithm."
            if isinstance(algorithm, str)
            else f"Other processes cannot import {_path(algorithm)}: define the class at the top "
            "level of its module."
        )
    ALGORITHMS.add(name, algorithm)
    wrapt.register_post_import_hook(
        functools.partial(_tell_rllib, name), "ray.rllib.algorithms.registry"
    )
    return algorithm


def _path(home: str | type) -> str:
    return home if isinstance(home, str) else f"{home.__module__}:{home.__qualname__}"


def _imported(name: str, path: str) -> Any:
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise BadInput(f"The algorithm {name} cannot be imported from {path}: {error}") from error


def _tell_rllib(name: str, rllib_registry: Any) -> None:
    """Adds a name to RLlib's own registry, where Tune looks up what it does not know.

    RLlib may be half imported when this runs, so the algorithm is imported only when needed.
    """
    if name in rllib_registry.ALGORITHMS and name not in _told:
        raise BadInput(f"RLlib has an algorithm named {name} already: give yours another name.")
    _told.add(name)
    rllib_registry.ALGORITHMS[name] = functools.partial(_class_and_config, name)


_told: set[str] = set()


def _class_and_config(name: str) -> tuple[Any, Any]:
    """In the form that RLlib's registry expects."""
    algorithm = ALGORITHMS[name]
    return algorithm, algorithm.get_default_config()


def register_installed(rllib_registry: Any) -> None:
    """Tells RLlib about the algorithms of installed packages; an import hook."""
    for name in ALGORITHMS:
        if name not in _told:
            _tell_rllib(name, rllib_registry)


wrapt.register_post_import_hook(register_installed, "ray.rllib.algorithms.registry")
