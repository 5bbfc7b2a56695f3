"""Typed data from YAML: what all models share, and their errors in plain words."""

from __future__ import annotations

import functools
import inspect
import reprlib
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Gt
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from rllib_qatten.errors import one_of

#: No text for numbers, no unknown keys.
STRICT = ConfigDict(
    strict=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True
)
_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
}
#: The types that YAML has.
PLAIN = (bool, int, float, str, list, dict, type(None))
_repr = reprlib.Repr()
_repr.maxlevel, _repr.maxstring, _repr.maxother = 3, 60, 60
#: A value for a message, shortened.
shown = _repr.repr


def fault(error: ValidationError, model: type[BaseModel], given: Any) -> tuple[str, str]:
    """The first fault that a model found.

    Args:
        error: What it raised.
        model: The model.
        given: What it was given.

    Returns:
        The dotted key, and the problem in words.
    """
    first = error.errors(include_url=False)[0]
    path: list[str] = []
    wanted: Any = model
    limits: tuple[Any, ...] = ()
    for part in first["loc"]:
        if isinstance(wanted, type) and issubclass(wanted, BaseModel):
            path.append(str(part))
            if part not in wanted.model_fields:
                return ".".join(path), unknown(str(part), wanted)
            field = wanted.model_fields[str(part)]
            wanted, limits = field.annotation, tuple(field.metadata)
        elif get_origin(wanted) is dict and isinstance(given, dict) and part in given:
            path.append(str(part))
            wanted, limits = get_args(wanted)[1], ()
        else:  # which part of a union, or which element of a list
            break
        if first["type"] == "missing":
            return ".".join(path), "is missing."
        given = given[part]
    return ".".join(path), f"must be {described(wanted, limits)}; got {shown(given)}."


def unknown(key: str, model: type[BaseModel]) -> str:
    """The problem with a key that a model doesn't have, with the nearest key.

    A model's `called` says what its keys are.
    """
    try:
        one_of(key, model.model_fields, getattr(model, "called", "key"))
    except ValueError as error:
        return str(error)
    raise AssertionError(key)


def described(wanted: Any, limits: Sequence[Any] = ()) -> str:
    """A type in words: `int | list | None` is "a whole number or a list"."""
    if get_origin(wanted) is Annotated:
        wanted, *inner = get_args(wanted)
        return described(wanted, sum((getattr(i, "metadata", [i]) for i in inner), [*limits]))
    if get_origin(wanted) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(wanted) if kind is not type(None)]
        return " or ".join(dict.fromkeys(described(kind, limits) for kind in kinds))
    if get_origin(wanted) is Literal:
        return " or ".join(map(repr, get_args(wanted)))
    text = _WORDS.get(get_origin(wanted) or wanted, "a mapping")
    if wanted in (int, float):
        for limit in limits:
            text += f", {limit.ge} or more" if isinstance(limit, Ge) else ""
            text += f" above {limit.gt}" if isinstance(limit, Gt) else ""
    return text


def check_kind(key: str, value: Any, kind: Any) -> None:
    """Verifies that a value has the declared type of an argument.

    Raises:
        ValueError: If it isn't, or if only Python has such values.
    """
    plain = plain_kind(kind)
    if plain is None:
        raise ValueError(f"{key} takes a Python object, which YAML cannot express.")
    try:
        TypeAdapter(plain).validate_python(value, strict=True)
    except ValidationError:
        raise ValueError(f"{key} must be {described(plain)}; got {shown(value)}.") from None


def plain_kind(kind: Any) -> Any:
    """The part of a type that YAML can express: `Any` if all of it, None if nothing."""
    if kind in (Any, inspect.Parameter.empty) or isinstance(kind, TypeVar):
        return Any
    origin = get_origin(kind)
    if origin is Annotated:
        return plain_kind(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        parts = [plain_kind(part) for part in get_args(kind)]
        if Any in parts:
            return Any
        parts = [part for part in parts if part is not None]
        if not any(part is not type(None) for part in parts):
            return None
        return functools.reduce(lambda one, other: one | other, parts)
    if origin is Literal:
        return kind if {*map(type, get_args(kind))} <= {*PLAIN} else None
    if origin in (list, tuple):
        return list
    if origin is dict or (isinstance(kind, type) and issubclass(kind, dict)):
        return dict[str, Any]
    return kind if kind in PLAIN else None
