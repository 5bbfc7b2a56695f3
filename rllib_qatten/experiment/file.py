"""Where experiments come from: a YAML file in Tune's format and changes on the command line."""

from __future__ import annotations

import copy
import dataclasses
import re
from pathlib import Path
from typing import Any

import yaml

from rllib_qatten.errors import BadInput, one_of
from rllib_qatten.experiment.experiment import Experiment

#: What to write after the options that take KEY=VALUE.
EXAMPLES = {"--set": "--set lr=0.001", "--stop": "--stop training_iteration=10"}


class Loader(yaml.SafeLoader):
    """YAML's safe loader that reads 5e-4 as a number and refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """See base class; plain YAML would silently take the last of two equal keys."""
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # <<: *shared
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} comes twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1 takes 5e-4 and 1e6 for strings, since they lack a dot or a sign.
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read(file: Path) -> list[Experiment]:
    """Reads the experiments of a file in Tune's YAML format.

    Raises:
        BadInput: If the file is missing, no YAML, or holds no experiments.
    """
    if not file.is_file():
        others = sorted(p.name for p in file.parent.glob("*.y*ml"))
        try:
            one_of(file.name, others, f"file in {file.parent.resolve()}")
        except ValueError as error:
            raise BadInput(f"{file}: no such file. {error}") from error
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise BadInput(f"{file}: {where}this is no YAML: {error.problem}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{file}: this is no YAML: {error}") from error
    if not isinstance(content, dict) or not content or "run" in content:
        found = ", ".join(map(str, content)) if isinstance(content, dict) else repr(content)
        raise BadInput(
            f"{file}: needs experiments: a name and, indented below, run, env, stop, config; "
            f"got at the top level: {found}."
        )
    return [_experiment(file, str(name), fields) for name, fields in content.items()]


def _experiment(file: Path, name: str, fields: Any) -> Experiment:
    experiment = Experiment(file, name)
    if not isinstance(fields, dict):
        raise BadInput(f"{file}: {name}: must hold run, env, stop, config; got {fields!r}.")
    accepted = [f.name for f in dataclasses.fields(Experiment) if f.init][2:]
    for key, value in fields.items():
        with experiment.blame(str(key)):
            one_of(key, accepted, "key of an experiment")
        wanted = getattr(experiment, key)
        if isinstance(wanted, dict) and not isinstance(value, dict):
            raise experiment.bad(key, f"must be a mapping of keys to values; got {value!r}.")
        setattr(experiment, key, value)
    # Experiments may share parts (YAML's &name and *name); changes by --set may not.
    return copy.deepcopy(experiment)


def assignment(text: str, option: str) -> tuple[str, Any]:
    """Splits KEY=VALUE and reads the value as YAML.

    Raises:
        BadInput: If there is no "=", no key, or a value that is no YAML.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise BadInput(f"{option} {text!r}: expected KEY=VALUE, as in {EXAMPLES[option]}.")
    try:
        return key, yaml.load(value, Loader)
    except yaml.YAMLError as error:
        raise BadInput(f"{option} {text!r}: the value is no YAML.") from error


def override(config: dict[str, Any], key: str, value: Any) -> None:
    """Sets a dotted key: `env_config.map_name` is `map_name` inside `env_config`.

    Raises:
        BadInput: If the key leads through something that is no mapping.
    """
    *parents, last = key.split(".")
    for parent in parents:
        config = config.setdefault(parent, {})
        if not isinstance(config, dict):
            raise BadInput(f"--set {key}: {parent} is {config!r}, which holds no keys.")
    config[last] = value
