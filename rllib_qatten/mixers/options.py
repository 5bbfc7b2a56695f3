"""A mixer's options, read from the one place where they are declared: its own signature.

Every keyword-only argument with a default is an option. Its kind is the annotation, its meaning the
argument's text under `Args:` in the docstring. Losses and other functions are read the same way.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rllib_qatten.errors import one_of

KINDS: dict[Any, tuple[str, tuple[type, ...]]] = {
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    str: ("a name", (str,)),
}


@dataclass(frozen=True, slots=True)
class Option:
    """One keyword-only argument.

    Attributes:
        name: Its name.
        default: Its default.
        kind: Its annotation. Values are checked if it is bool, int, float, str or a `Literal`, or
            one of these or None; `Any` if there is none.
        meaning: Its description in the docstring.
        owner: Name of the class or function that declares it.
    """

    name: str
    default: Any
    kind: Any
    meaning: str
    owner: str

    def check(self, value: Any) -> None:
        """Makes sure that a value is of the option's kind; ranges are the owner's business.

        Raises:
            ValueError: If not, with name, value and what is accepted.
        """
        kind = self.kind
        if get_origin(kind) in (Union, UnionType):
            if value is None:
                return
            kind, *others = [part for part in get_args(kind) if part is not NoneType]
            if others:
                return
        if get_origin(kind) is Literal:
            choices = get_args(kind)
            if all(isinstance(choice, str) for choice in choices):
                one_of(value, choices, self.name)
            elif value not in choices or isinstance(value, bool):
                *first, last = map(str, choices)
                raise ValueError(f"{self.name} must be {', '.join(first)} or {last}; got {value!r}")
        elif kind in KINDS:
            wanted, types = KINDS[kind]
            if not isinstance(value, types) or (isinstance(value, bool) and kind is not bool):
                raise ValueError(f"{self.name} must be {wanted}; got {value!r}")


def options_of(*sources: Callable[..., Any]) -> dict[str, Option]:
    """The options of classes and functions, by name; see `union` for those of the same name."""
    return union(*map(_declared, sources))


def union(*groups: dict[str, Option]) -> dict[str, Option]:
    """Groups of options as one; what several declare alike is one option, described by the first.

    Raises:
        TypeError: If two of the same name have different defaults.
    """
    found: dict[str, Option] = {}
    for option in (option for group in groups for option in group.values()):
        first = found.setdefault(option.name, option)
        if first.default != option.default:
            raise TypeError(
                f"{first.owner} and {option.owner} both have an option {option.name}, whose "
                f"default is {first.default!r} in one and {option.default!r} in the other, but it "
                "would be one setting: rename one of them, or give both the same default."
            )
    return found


def _declared(source: Callable[..., Any]) -> dict[str, Option]:
    """The options of one class or function."""
    # mypy warns that a subclass's constructor may differ: it is the one that is read here
    function = source.__init__ if isinstance(source, type) else source  # type: ignore[misc]
    kinds, meanings = get_type_hints(function), _arguments(function.__doc__ or "")
    return {
        name: Option(
            name,
            parameter.default,
            kinds.get(name, Any),
            meanings.get(name, ""),
            source.__name__,
        )
        for name, parameter in inspect.signature(source).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty
    }


def _arguments(docstring: str) -> dict[str, str]:
    """The descriptions under `Args:`, each on one line."""
    section = re.search(r"^Args:\n((?: .*\n?|\n)+)", inspect.cleandoc(docstring), re.MULTILINE)
    if not section:
        return {}
    entries = re.findall(r"^ {4}(\w+)(?: \([^)]*\))?: (.*(?:\n {5,}.*)*)", section[1], re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text).strip() for name, text in entries}
