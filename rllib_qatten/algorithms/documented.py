"""The method `training()` of an algorithm, with its own settings in signature and docstring."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from ray.rllib.algorithms.algorithm_config import NotProvided

from rllib_qatten.mixers.options import Option


def documented(
    owner: Any, shared: Callable[..., Any], options: dict[str, Option]
) -> Callable[..., Any]:
    """An override of `shared` for a subclass, with a signature and docstring of its own settings.

    Args:
        owner: The subclass.
        shared: The method with the settings that all share; its docstring's last argument is
            `**kwargs`.
        options: The subclass's own.
    """

    def training(self: Any, **settings: Any) -> Any:
        return super(owner, self).training(**settings)

    signature = inspect.signature(shared)
    *common, kwargs = signature.parameters.values()
    own = [
        inspect.Parameter(o.name, kwargs.KEYWORD_ONLY, default=NotProvided, annotation=o.kind)
        for o in options.values()
    ]
    # What `inspect` reads; functions declare no such attribute.
    training.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*common, *own, kwargs]
    )
    lines = "".join(f"{describe(option)}\n" for option in options.values())
    # It has a docstring.
    head, mark, tail = inspect.getdoc(shared).partition("    **kwargs:")  # type: ignore[union-attr]
    training.__doc__ = f"{head}{lines}{mark}{tail}"
    training.__qualname__ = f"{owner.__name__}.training"
    training.__module__ = owner.__module__
    return training


def describe(option: Option) -> str:
    """An entry of a docstring's `Args:`."""
    meaning = option.meaning[:1].upper() + option.meaning[1:].rstrip(".")
    text = f"{option.name}: {meaning}. Default: {option.default!r}."
    return textwrap.fill(text, 92, initial_indent=" " * 4, subsequent_indent=" " * 8)
