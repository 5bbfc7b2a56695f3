"""Makes an env from its class or function and `env_config`, however its constructor is written."""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Callable, Mapping
from typing import Any

from pettingzoo import ParallelEnv

from rllib_qatten.errors import BadInput, EngineFailed, one_of
from rllib_qatten.messages import say

#: Names of a parameter that is the whole `env_config`, whatever its keys are.
WHOLE = ("config", "env_config")
#: Of what a constructor prints, so many characters are repeated.
PRINTED = 200


def construct(
    make: Callable[..., Any], env_config: dict[str, Any], by_keyword: bool | None = None
) -> Any:
    """Calls a user's class or function, with `env_config` as RLlib does it or as its keywords.

    Args:
        make: The class or function.
        env_config: Its settings.
        by_keyword: Whether its parameters are the settings' keys. None looks at it: those of a
            `ParallelEnv` class are, as PettingZoo has it, and those of one that takes no config.

    Raises:
        BadInput: If it raises or calls `sys.exit`, with what came and what was asked for.
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
            f"{name} called sys.exit({error.code!r}) when it was made with env_config "
            f"{dict(env_config)!r}: let it raise an error that says what is missing instead."
        ) from error
    except Exception as error:  # a user's constructor may raise anything
        hint = "" if by_keyword else _hint(make)
        raise BadInput(
            f"{name} raised {type(error).__name__}: {error}, when it was made with env_config "
            f"{dict(env_config)!r}{hint}."
        ) from error
    finally:
        if text := " ".join(printed.getvalue().split()):
            say(
                f"{name} printed, when it was made: {text[:PRINTED]}{'...' * (len(text) > PRINTED)}"
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
        return getattr(make, "__name__", "") != "<lambda>"  # one made for RLlib
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
    except (TypeError, ValueError):  # a builtin, which does not say
        return None


def _hint(make: Callable[..., Any]) -> str:
    """What RLlib calls a constructor with, for one that takes more."""
    parameters = _parameters(make)
    if parameters is None or len(parameters) == 1:
        return ""
    return f"; it takes {inspect.signature(make)}, and env_config came as its first argument"
