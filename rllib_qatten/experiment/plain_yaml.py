"""YAML that is plain data of a bounded size: text, finite numbers, lists and mappings.

An experiment is a page of text. A file that is a thousand times as large, nests endlessly, or
explodes through its aliases is a mistake or an attack, and is refused before it takes time or
memory.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.typed import shown

#: The largest file, in bytes; the pure Python parser reads this much in a few seconds.
MAX_BYTES = 200_000
MAX_DEPTH = 32
#: The most values, with every alias replaced by its target.
MAX_VALUES = 20_000
#: Beyond this, values are not counted exactly.
MAX_WHOLE = 2**63 - 1

_PREFIX = "tag:yaml.org,2002:"
_PLAIN = {f"{_PREFIX}{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map")}
_NUMBERS = {f"{_PREFIX}int", f"{_PREFIX}float"}
#: What YAML 1.1 reads as an octal number, 010, or a sexagesimal one, 1:30.
_OTHER_BASE = re.compile(r"[-+]?(?:(0[\d_]+)|[\d_]+(?::[\d_]+)+(?:\.[\d_]*)?)")
_MERGE = f"{_PREFIX}merge"
#: What no terminal or file name should get: control characters and lone surrogates.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML, but not plain data of a bounded size."""


class _Loader(yaml.SafeLoader):
    """The safe loader, which also reads 5e-4 as a number and refuses what is not plain."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """See base class; bounds the depth."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _error(self.peek_event(), f"it nests more than {MAX_DEPTH} levels deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """See base class; refuses dates, sets, bytes, infinite numbers and control characters."""
        if node.tag not in _PLAIN:
            if node.tag == f"{_PREFIX}timestamp":
                raise _error(node, f"{node.value} is read as a date: put it in quotes")
            raise _error(node, f"values of type {node.tag.removeprefix(_PREFIX)} are not allowed")
        if node.tag in _NUMBERS and (other := _OTHER_BASE.fullmatch(node.value)):
            kind = "an octal" if other[1] else "a sexagesimal"
            raise _error(node, f"YAML reads {node.value[:40]} as {kind} number: write it plainly")
        try:
            value = super().construct_object(node, deep)
        except (ValueError, OverflowError, IndexError, KeyError):
            # A number with too many digits, or text that is declared to be a number.
            raise _error(node, f"{node.value[:40]!r} is not what it is declared to be") from None
        if isinstance(value, float) and not math.isfinite(value):
            raise _error(node, f"{node.value[:40]} is not a finite number")
        if isinstance(value, int) and abs(value) > MAX_WHOLE:
            raise _error(node, f"{node.value[:40]} is too large a number")
        if isinstance(value, str) and UNPRINTABLE.search(value):
            raise _error(node, f"{value[:40]!r} holds control characters")
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """See base class; plain YAML would silently use the last of two equal keys."""
        if not isinstance(node, yaml.MappingNode):
            raise _error(node, "a mapping is declared, but none follows")
        seen = set()
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:  # <<: *shared
                several = value_node.value if isinstance(value_node, yaml.SequenceNode) else ()
                for merged in several or [value_node]:
                    if not isinstance(merged, yaml.MappingNode):
                        raise _error(key_node, "<< takes a mapping, or a list of mappings")
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise _error(key_node, "a key must be text")
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _error(
                    key_node,
                    f"the key {key_node.value[:40]} is read as {shown(key)}, not as text: put it "
                    "in quotes",
                )
            if key in seen:
                raise _error(key_node, f"the key {shown(key)} appears twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1 takes 5e-4 and 1e6 for strings, since they lack a dot or a sign.
_Loader.add_implicit_resolver(
    f"{_PREFIX}float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load(content: bytes | str, where: str) -> Any:
    """Reads YAML.

    Args:
        content: The text; bytes are UTF-8.
        where: How the message begins, such as the file's name.

    Raises:
        BadInput: If it is too large or not YAML of plain data, with line and column.
    """
    if len(content) > MAX_BYTES:
        raise BadInput(f"{where}: an experiment has at most {MAX_BYTES:,} bytes.")
    try:
        loader = _Loader(content.decode() if isinstance(content, bytes) else content)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if (values := _unfolded(node, {})) > MAX_VALUES:
                much = f"{values:,}" if values < MAX_VALUES**2 else "endlessly many"
                raise BadInput(
                    f"{where}: an experiment has at most {MAX_VALUES:,} values; with every alias "
                    f"replaced this has {much}."
                )
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        kind = "" if isinstance(error, _Refused) else "this is not YAML: "
        raise BadInput(f"{where}: {place}{kind}{error.problem}.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{where}: this is not YAML: byte {error.start} is not UTF-8.") from error
    except yaml.YAMLError as error:
        reason = getattr(error, "reason", "it cannot be read")
        raise BadInput(f"{where}: this is not YAML: {reason}.") from error


def _unfolded(node: Any, known: dict[int, float]) -> float:
    """How many values a node has with aliases replaced; infinitely many if it contains itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = math.inf  # until known: found again if it contains itself
        parts = node.value
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        known[id(node)] = 1 + sum(_unfolded(part, known) for part in parts)
    return known[id(node)]


def _error(at: Any, problem: str) -> _Refused:
    return _Refused(problem=problem, problem_mark=at.start_mark)
