"""An algorithm's settings as a typed model, built from the methods of its config.

RLlib declares its settings in the signatures of `training()`, `env_runners()` and so on, and
explains them in their docstrings. Type checks and the schema are derived from these.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, Field, ValidationError, create_model
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided

from rllib_qatten.algorithms.layered_config import LayeredConfig
from rllib_qatten.algorithms.old_names import known_setting
from rllib_qatten.algorithms.unknown_setting import of_others
from rllib_qatten.experiment.experiment import Experiment, Fields
from rllib_qatten.experiment.typed import PLAIN, STRICT, fault, plain_kind, shown

#: Settings whose values are classes and functions although their type does not say so.
CODE = re.compile(r"callbacks|policies$|\w+_(class|cls|fn|function)(_lookup)?$")
#: These accept fractions, whatever RLlib's annotations say.
_FRACTIONS = re.compile(r"num_[cg]pus(_|$)")
#: Keys next to `config` that are options of the command, too.
OPTIONS = ("run", "stop", "num_samples", "storage_path")
#: The widest layer: a network with two of them has 4 billion weights.
MAX_WIDTH = 2**16
_RLLIB_HINT = "To suppress all validation errors"

Result = TypeVar("Result")


@functools.cache
def settings_model(algorithm: Any) -> type[BaseModel]:
    """The model of an algorithm's settings that YAML can express.

    Fields have the names and descriptions of the config's methods, an algorithm's own options those
    of its mixer and loss; settings that need Python are left out.
    """
    config = algorithm.get_default_config()
    options = getattr(config, "options", {})
    declared = {name: (kind, text) for name, kind, text in _declared(type(config))}
    declared["env"] = (
        str,
        "Name of the environment, if it is not outside `config`.",
    )
    defaults = config.to_dict()
    fields: dict[str, Any] = {}
    for name, option in options.items():
        kind = plain_kind(option.kind)
        fields[name] = (kind, Field(option.default, description=option.meaning))
    for name in dict.fromkeys([*config.keys(), "env"]):
        kind, text = declared.get(name, (Any, ""))
        kind = plain_kind(kind)
        if name in options or name.startswith("_") or CODE.match(name) or kind is None:
            continue
        if _FRACTIONS.match(name):
            kind |= float
        default = defaults.get(name)
        if kind is not Any and type(default) in PLAIN and name != "env":
            kind |= type(default)  # RLlib's defaults need not match their annotations
        fields[name] = (kind, Field(default, description=text or None))
    return create_model(algorithm.__name__, __config__=STRICT, **fields)


def check_kinds(
    experiment: Experiment, algorithm: Any, config: dict[str, Any], of: str = "config"
) -> None:
    """Checks that settings exist and that values have the right types.

    Args:
        experiment: For the message.
        algorithm: Whose settings they are.
        config: Settings without anything to sample.
        of: The key that holds them.

    Raises:
        BadInput: For the first fault.
    """
    model = settings_model(algorithm)
    for key in config:
        if key.startswith("_"):
            raise experiment.error(f"{of}.{key}", "is private, not a setting.")
        if key not in model.model_fields:
            if CODE.match(key) or key in algorithm.get_default_config().keys():
                raise experiment.error(
                    f"{of}.{key}",
                    "takes a Python object, which YAML cannot express: set it in Python.",
                )
            raise experiment.error(f"{of}.{key}", _unknown(key, algorithm))
    try:
        model.model_validate(config)
    except ValidationError as error:
        key, problem = fault(error, model, config)
        raise experiment.error(f"{of}.{key}", problem) from error
    if evaluation := config.get("evaluation_config"):
        if not isinstance(evaluation, dict):
            problem = f"must be a mapping of settings, got {evaluation!r}."
            raise experiment.error(f"{of}.evaluation_config", problem)
        check_kinds(experiment, algorithm, evaluation, f"{of}.evaluation_config")


def _unknown(key: str, algorithm: Any) -> str:
    """The problem with an unknown key: another algorithm's, another codebase's, or nobody's."""
    config = algorithm.get_default_config()
    if isinstance(config, LayeredConfig) and (told := of_others(key, config)):
        return told
    if key in Fields.model_fields:
        option = f", or with --{key.replace('_', '-')}" if key in OPTIONS else ""
        return f"is set next to config, not in it{option}."
    fields = settings_model(algorithm).model_fields
    if key not in fields and callable(getattr(config, key, None)):
        return "is a method of configs in Python; in YAML its settings stand in config themselves."
    try:
        known_setting(key, fields, f"config key of {algorithm.__name__}")
    except ValueError as error:
        return str(error)
    raise AssertionError(key)


def validated(
    experiment: Experiment, algorithm: type[Algorithm], config: dict[str, Any]
) -> AlgorithmConfig:
    """The config of settings whose types were checked, validated by the algorithm itself.

    Raises:
        BadInput: For the first fault.
    """
    return naming_culprit(experiment, config, functools.partial(_validated, algorithm))


def naming_culprit(
    experiment: Experiment, config: dict[str, Any], attempt: Callable[[dict[str, Any]], Result]
) -> Result:
    """Returns the result of an attempt with some settings.

    Raises:
        BadInput: If it fails. RLlib does not check everything, so this looks for the one setting
            that makes the attempt fail on its own.
    """
    try:
        return attempt(config)
    except ValueError as error:
        # RLlib ends with a hint for Python.
        raise experiment.error("config", str(error).partition(_RLLIB_HINT)[0].strip()) from error
    except Exception as error:
        for key, value in config.items():
            try:
                attempt({key: value})
            except ValueError:
                continue
            except Exception:
                raise experiment.error(
                    f"config.{key}", f"is not a valid value of this setting: {shown(value)}."
                ) from error
        raise experiment.error("config", "these settings do not work together.") from error


def _validated(algorithm: type[Algorithm], config: dict[str, Any]) -> AlgorithmConfig:
    settings = algorithm.get_default_config()
    settings.update_from_dict(config)
    for name, width in _whole_numbers(settings._model_config_auto_includes):
        if width > MAX_WIDTH:
            raise ValueError(f"{name} must be {MAX_WIDTH:,} or less; got {width}.")
    # Weights on the meta device take no memory, however many there are.
    with torch.device("meta"):
        settings.validate()
        settings.get_evaluation_config_object()
    return settings


def _whole_numbers(tree: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _whole_numbers(value)
        elif isinstance(value, int):
            yield key, value


def _declared(config: type[AlgorithmConfig]) -> Iterator[tuple[str, Any, str]]:
    """Name, annotation and description of every setting; the most derived class wins."""
    for cls in reversed(config.__mro__):
        for method in vars(cls).values():
            if not inspect.isfunction(method) or method.__name__.startswith("_"):
                continue
            texts = _descriptions(inspect.getdoc(method) or "")
            for name, parameter in inspect.signature(method).parameters.items():
                if parameter.default is NotProvided:
                    yield name, _resolved(parameter.annotation, method), texts.get(name, "")


def _resolved(annotation: Any, method: Any) -> Any:
    if annotation is inspect.Parameter.empty:
        return Any
    if isinstance(annotation, str):
        try:
            return eval(annotation, vars(typing) | method.__globals__)  # as get_type_hints does
        except NameError:
            return Any
    return annotation


def _descriptions(doc: str) -> dict[str, str]:
    """The arguments of a docstring in Google's style: name -> text."""
    _, found, arguments = doc.partition("Args:\n")
    texts: dict[str, str] = {}
    name = ""
    for line in arguments.splitlines() if found else ():
        if line.strip() and not line.startswith(" "):
            break  # the next section
        if start := re.match(r"    (\w+)(?: \([^)]*\))?: (.*)", line):
            name, texts[start[1]] = start[1], start[2]
        elif name and line.strip():
            texts[name] += f" {line.strip()}"
        else:
            name = name if line.strip() else ""
    return texts
