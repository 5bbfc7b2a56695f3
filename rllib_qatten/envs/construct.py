"""Creates an env from a class or function and `env_config`, however its constructor is written."""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Callable, Mapping
from typing import Any

from pettingzoo import ParallelEnv

from rllib_qatten.errors import BadInput, EngineFailed, described, one_of
from rllib_qatten.messages import say

#: Names of a parameter that takes the whole `env_config`, whatever its keys are.
WHOLE = ("config", "env_config")
#: How many characters of a constructor's output are repeated.
PRINTED = 200


def construct(
    make: Callable[..., Any], env_config: dict[str, Any], by_keyword: bool | None = None
) -> Any:
    """Calls a class or function with `env_config` as RLlib passes it, or as keyword arguments.

    Args:
        make: The class or function.
        env_config: Its settings.
        by_keyword: Whether its parameters are the settings' keys. None decides by its signature:
            yes for a `ParallelEnv` class, as is usual in PettingZoo, and for one that takes no
            config.

    Raises:
        BadInput: If it raises or calls `sys.exit`, with the error and the settings.
    """
    name = getattr(make, "__qualname__", None) or repr(make)
    if by_keyword is None:
        by_keyword = _by_keyword(make, env_config)
    if by_keyword:
        _check_keywords(name, make, env_config)
    printed = io.StringIO()
    try:
        # Standard output is the command's: results for other programs may go there.
        with contextlib.redirect_stdout(printed):
            return make(**env_config) if by_keyword else make(env_config)
    except (BadInput, EngineFailed):
        raise
    except SystemExit as error:
        raise BadInput(
            f"{name} called sys.exit({error.code!r}) when it was created with env_config "
            f"{dict(env_config)!r}: let it raise an error that says what is missing."
        ) from error
    except Exception as error:  # a user's constructor may raise anything
        hint = "" if by_keyword else _hint(make)
        raise BadInput(
            f"{name} raised {described(error)}, when it was created with env_config "
            f"{dict(env_config)!r}{hint}."
        ) from error
    finally:
        if text := " ".join(printed.getvalue().split()):
            say(
                f"{name} printed when it was created: {text[:PRINTED]}"
                + "..." * (len(text) > PRINTED)
            )


def _by_keyword(make: Callable[..., Any], env_config: Mapping[str, Any]) -> bool:
    """Whether a constructor's parameters are the settings, and none is the whole config."""
    if isinstance(make, type) and issubclass(make, ParallelEnv):
        return True
    parameters = _parameters(make)
    if parameters is None:
        return False
    placed = [
        p
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)
    ]
    if not placed:
        return True
    first = placed[0]
    if first.kind != first.POSITIONAL_OR_KEYWORD or first.name in WHOLE:
        return False
    if first.name in env_config:
        return getattr(make, "__name__", "") != "<lambda>"  # one written for RLlib
    whole = first.default is None or first.default is first.empty
    return not whole and not isinstance(first.default, Mapping)


def _check_keywords(name: str, make: Callable[..., Any], env_config: Mapping[str, Any]) -> None:
    """Refuses settings that the constructor does not take."""
    parameters = _parameters(make)
    if parameters is None or any(p.kind == p.VAR_KEYWORD for p in parameters):
        return
    accepted = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for key in env_config:
        if not accepted:
            raise BadInput(
                f"{name} takes no settings, but env_config is {dict(env_config)!r}: give it a "
                "parameter config, or leave env_config out."
            )
        one_of(key, accepted, f"env_config key of {name}")


def _parameters(make: Callable[..., Any]) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(make).parameters.values())
    except (TypeError, ValueError):  # a builtin without a signature
        return None


def _hint(make: Callable[..., Any]) -> str:
    """What RLlib passes to a constructor, for one that takes more."""
    parameters = _parameters(make)
    if parameters is None or len(parameters) == 1:
        return ""
    return f"; it takes {inspect.signature(make)}, and env_config was passed as its first argument"
