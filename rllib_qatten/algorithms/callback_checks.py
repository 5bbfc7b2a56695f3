"""Refuses callbacks that nothing would call, or that fail when they are called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.utils import force_list

from rllib_qatten.errors import BadInput, one_of
from rllib_qatten.messages import say_once

#: RLlib's callbacks that its new API stack never calls, or not for played games: what does it here.
NEVER_CALLED = {
    "on_create_policy": "on_algorithm_init gets the algorithm; its get_module() is the policy",
    "on_learn_on_batch": "a learner_connector gets every batch, on_train_result the results",
    "on_postprocess_trajectory": "on_sample_end gets the episodes before they are learned from",
    "on_sub_environment_created": "on_environment_created gets all games of an env runner",
    "on_evaluate_offline_start": "nothing is learned from recorded games",
    "on_evaluate_offline_end": "nothing is learned from recorded games",
    "on_offline_eval_runners_recreated": "nothing is learned from recorded games",
}
#: Arguments of the old API stack: what callbacks get instead.
OLD_ARGUMENTS = {
    "worker": "env_runner",
    "base_env": "env, whose envs[env_index] plays the episode",
    "policies": "rl_module",
}
#: Called by the algorithm, so never on an evaluation's own callbacks.
OF_THE_ALGORITHM = (
    *("on_algorithm_init", "on_checkpoint_loaded", "on_train_result"),
    *("on_evaluate_start", "on_evaluate_end"),
)
#: Called with arguments of its own.
_OLDER = "on_workers_recreated"


def check_callbacks(config: Any) -> None:
    """Looks at all callback classes and functions of a config.

    Raises:
        BadInput: For the first that would not be called, or not with these arguments.
    """
    for given in force_list(config.callbacks_class):
        for hook, method in _overridden(_class_of(given)):
            _check(hook, method)
    for name, functions in vars(config).items():
        if name.startswith("callbacks_on_"):
            for function in force_list(functions):
                _check(name.removeprefix("callbacks_"), function)


def check_evaluation_callbacks(config: Any) -> None:
    """Looks at the callbacks that an evaluation has of its own.

    Raises:
        BadInput: For the first that only the algorithm calls, which has those of training.
    """
    given = {config._translate_special_keys(k): v for k, v in config.evaluation_config.items()}
    hooks = {name.removeprefix("callbacks_"): value for name, value in given.items()}
    for own in force_list(given.get("callbacks_class")):
        if own not in force_list(config.callbacks_class):
            hooks |= dict(_overridden(_class_of(own)))
    for hook in OF_THE_ALGORITHM:
        function = hooks.get(hook)
        if function and function is not getattr(config, f"callbacks_{hook}"):
            raise BadInput(
                f"evaluation_config has an {hook} callback, but the algorithm only calls its own: "
                f"config.callbacks(...) takes it."
            )


def _class_of(given: Any) -> type:
    """The class behind what `callbacks()` takes: a class, a partial of one, or a function."""
    if isinstance(given, functools.partial):
        return _class_of(given.func)
    made = given() if isinstance(given, FunctionType) else given
    kind = made if isinstance(made, type) else type(made)
    if not issubclass(kind, RLlibCallback):
        raise BadInput(
            "callbacks() takes subclasses of ray.rllib.callbacks.callbacks.RLlibCallback, and "
            f"functions by name, as in callbacks(on_episode_end=my_function); got {given!r}."
        )
    return kind


def _overridden(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The callbacks that a user's class brings, without `self`."""
    known = [name for name in dir(RLlibCallback) if name.startswith("on_")]
    called = [name for name in known if name not in NEVER_CALLED]
    own = [base for base in kind.__mro__ if not base.__module__.startswith("ray.")]
    for hook in sorted({name for base in own for name in vars(base) if name.startswith("on_")}):
        method = getattr(kind, hook)
        if hook in known:
            bound = isinstance(inspect.getattr_static(kind, hook), FunctionType)
            yield hook, functools.partial(method, None) if bound else method
        elif callable(method):
            try:
                one_of(hook, called, f"callback in {kind.__name__}, which is never called")
            except ValueError as error:
                say_once(str(error))


def _check(hook: str, function: Any) -> None:
    """Refuses a callback that is never called, or that cannot take what it is called with."""
    if hook in NEVER_CALLED:
        raise BadInput(f"{hook} is never called here: {NEVER_CALLED[hook]}.")
    if not callable(function):
        raise BadInput(f"{hook} must be a function or a list of them; got {function!r}.")
    if hook == _OLDER:
        return
    passed = set(inspect.signature(getattr(RLlibCallback, hook)).parameters)
    passed -= {"self", "kwargs", *OLD_ARGUMENTS}
    try:
        taken = inspect.signature(function)
        taken.bind(**dict.fromkeys(passed))
    except ValueError:  # a builtin without a signature
        return
    except TypeError as error:
        old = [f"{new} replaces {name}" for name, new in OLD_ARGUMENTS.items()]
        hint = f" ({'; '.join(old)})" if OLD_ARGUMENTS.keys() & taken.parameters.keys() else ""
        raise BadInput(
            f"The callback {hook}{taken} cannot be called: {error}. RLlib passes "
            f"{', '.join(sorted(passed))} by name{hint}: name those you need, and **kwargs."
        ) from error
