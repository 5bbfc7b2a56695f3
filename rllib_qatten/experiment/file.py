"""Reads experiments: a YAML file in Tune's format, with changes from the command line."""

from __future__ import annotations

import copy
import dataclasses
import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rllib_qatten.algorithms.old_names import hint
from rllib_qatten.errors import BadInput, one_of
from rllib_qatten.experiment.experiment import Checkpoints, Experiment, Fields, check_name
from rllib_qatten.experiment.plain_yaml import MAX_BYTES, UNPRINTABLE, load
from rllib_qatten.experiment.typed import fault, shown, unknown

#: Examples for the options that take KEY=VALUE.
EXAMPLES = {"--set": "--set lr=0.001", "--stop": "--stop training_iteration=10"}
#: Keys of older releases of Tune -> what they are called in `checkpoint_config`.
OLD_CHECKPOINT_KEYS = {
    "checkpoint_freq": "checkpoint_frequency",
    "keep_checkpoints_num": "num_to_keep",
    "checkpoint_score_attr": "checkpoint_score_attribute",
}
#: Levels of keys on the command line, and characters of it that a message shows.
_DEEPEST, _SHOWN = 16, 80


@dataclasses.dataclass(frozen=True)
class Changes:
    """What the command line changes in every experiment of a file; None changes nothing.

    Attributes:
        stop: KEY=VALUE for `stop`.
        set_: KEY=VALUE for `config`, with dotted keys.
        num_samples: Replaces the experiments' own.
        storage_path: Replaces the experiments' own.
        name: Replaces the one experiment's name.
        run: Replaces the experiments' algorithm.
        env: Replaces the experiments' environment.
        checkpoint_freq: Replaces the iterations between two checkpoints.
        only: Which experiments of the file are meant: their names, in which * is any text; all of
            them if it is empty.
    """

    stop: tuple[str, ...] = ()
    set_: tuple[str, ...] = ()
    num_samples: int | None = None
    storage_path: str | None = None
    name: str | None = None
    run: str | None = None
    env: str | None = None
    checkpoint_freq: int | None = None
    only: tuple[str, ...] = ()

    @property
    def settings(self) -> frozenset[str]:
        """The settings that it changes."""
        keys = {text.partition("=")[0].partition(".")[0] for text in self.set_}
        return frozenset(keys | ({"env"} if self.env is not None else set()))

    def words(self) -> list[str]:
        """The command-line arguments for these changes."""
        words: list[str] = []
        several = (("--only", self.only), ("--stop", self.stop), ("--set", self.set_))
        for option, texts in several:
            for text in texts:
                words += [option, text]
        single = ("run", "env", "num_samples", "checkpoint_freq", "storage_path", "name")
        for option in single:
            if (value := getattr(self, option)) is not None:
                words += [f"--{option.replace('_', '-')}", str(value)]
        return words

    def apply(self, fields: dict[str, Any]) -> None:
        """Changes an experiment's keys.

        Raises:
            BadInput: For anything but KEY=VALUE, or a key inside a value without keys.
        """
        for text in self.stop:
            key, value = assignment(text, "--stop")
            _mapping(fields, "stop", f"--stop {key}")[key] = value
        for text in self.set_:
            key, value = assignment(text, "--set")
            override(_mapping(fields, "config", f"--set {key}"), key, value)
            if key == "env":
                fields.pop("env", None)  # this one is meant instead
        for option in ("run", "env", "num_samples", "storage_path"):
            if (value := getattr(self, option)) is not None:
                fields[option] = value
        if self.env is not None:
            _mapping(fields, "config", "--env").pop("env", None)  # it would take precedence
        if self.checkpoint_freq is not None:
            saved = _mapping(fields, "checkpoint_config", "--checkpoint-freq")
            saved["checkpoint_frequency"] = self.checkpoint_freq


def of_words(changes: Changes) -> Experiment:
    """An experiment without a file: --run, --env and what else the command line says.

    Raises:
        BadInput: As `read`.
    """
    if changes.only:
        raise BadInput("--only chooses among the experiments of a file: give one with -f FILE.")
    if "env" not in changes.settings:
        raise BadInput(
            f"--run {changes.run}: name what is played, too, with --env; rllib envs lists it."
        )
    name = changes.name
    if name is None:
        name = re.sub(r"\W+", "_", f"{changes.run}_{changes.env or 'env'}")
    _check_name(name, "--name")
    return _experiment(Path("command line"), name, {}, changes)


def read(file: Path, changes: Changes | None = None) -> list[Experiment]:
    """Reads the experiments of a file in Tune's YAML format.

    Args:
        file: The file.
        changes: What the command line changes in each.

    Raises:
        BadInput: If the file is missing, not YAML, or holds no experiments or not those that are
            meant, or if a key or value is not of the expected type.
    """
    changes = changes or Changes()
    content = load(_content(file), str(file))
    if not isinstance(content, dict) or not content or "run" in content:
        named = isinstance(content, dict) and content
        found = ", ".join(content) if named else shown(content)
        raise BadInput(
            f"{file}: needs experiments: a name and, indented below, run, env, stop, config; "
            f"got at the top level: {found[:_SHOWN]}."
        )
    content = _only(content, changes.only, file)
    if changes.name is not None and len(content) > 1:
        raise BadInput(
            f"--name names one experiment, but {file} has {len(content)}: choose one with --only "
            "NAME, or another folder for all of them with --storage-path."
        )
    for name, fields in content.items():
        _check_name(name, str(file))
        if not isinstance(fields, dict):
            raise BadInput(
                f"{file}: {name}: must hold run, env, stop, config; got {shown(fields)}."
            )
    if changes.name is not None:
        _check_name(changes.name, "--name")
    return [
        _experiment(file, changes.name or name, fields, changes) for name, fields in content.items()
    ]


def _only(content: dict[str, Any], patterns: tuple[str, ...], file: Path) -> dict[str, Any]:
    """The experiments that the command line means, in the order of the file.

    Raises:
        BadInput: If a pattern fits none, with the nearest name.
    """
    for pattern in patterns:
        if not fnmatch.filter(content, pattern):
            try:
                one_of(pattern, content, "experiment")
            except ValueError as error:
                raise BadInput(f"{file}: --only: {error}") from error
    fits = [n for n in content if any(fnmatch.fnmatchcase(n, pattern) for pattern in patterns)]
    return {name: content[name] for name in fits} if patterns else content


def _experiment(file: Path, name: str, fields: dict[str, Any], changes: Changes) -> Experiment:
    # Experiments may share parts (YAML's &name and *name), but not changes.
    fields = copy.deepcopy(fields)
    try:
        changes.apply(fields)
        if isinstance(stop := fields.get("stop"), dict):
            fields["stop"] = dict(_criteria(stop))
        # `file` and `name` are not keys of the YAML.
        for key in fields.keys() - Fields.model_fields.keys():
            raise BadInput(f"{file}: {name}.{key[:_SHOWN]}: {_unknown(key)}")
        return Experiment(file=file, name=name, **fields)
    except ValidationError as error:
        key, problem = fault(error, Fields, fields)
        raise BadInput(f"{file}: {name}.{key[:_SHOWN]}: {problem}") from error


def _criteria(stop: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Results by whole keys, `env_runners/episode_return_mean`, where they are nested, too."""
    for key, value in stop.items():
        if isinstance(value, dict):
            yield from _criteria(value, f"{before}{key}/")
        else:
            yield f"{before}{key}", value


def _unknown(key: str) -> str:
    """The problem with an unknown key of an experiment."""
    here = OLD_CHECKPOINT_KEYS.get(key, key)
    if here in Checkpoints.model_fields:
        return f"is set in checkpoint_config: checkpoint_config: {{{here}: ...}}."
    if key == "name":
        return "is the experiment's key at the top of the file, or --name."
    if told := hint(key):
        return f"Unknown key of an experiment: {key!r}. {told}"
    return unknown(key, Fields)


def _content(file: Path) -> bytes:
    """A file's bytes; of too large a file, just enough to see that it is."""
    try:
        if not file.is_file():
            raise BadInput(f"{file}: {_no_file(file)}")
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{str(file)[:_SHOWN]}: cannot be read: {error.strerror}.") from error


def _no_file(file: Path) -> str:
    """What is wrong with a path that is not a regular file."""
    if file.exists():
        kind = "a folder" if file.is_dir() else "not a regular file"
        return f"is {kind}; give an experiment in Tune's YAML format."
    others = sorted(p.name for p in file.parent.glob("*.y*ml")) if file.parent.is_dir() else []
    try:
        one_of(file.name, others, f"file in {file.parent.resolve()}")
    except ValueError as error:
        return f"no such file. {error}"
    return "no such file."


def _check_name(name: str, where: str) -> None:
    try:
        check_name(name)
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from error


def assignment(text: str, option: str) -> tuple[str, Any]:
    """Splits KEY=VALUE and reads the value as YAML.

    Raises:
        BadInput: If there is no "=", no key, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    given = f"{option} {text[:_SHOWN]!r}"
    if not key or not equals or UNPRINTABLE.search(key):
        raise BadInput(f"{given}: expected KEY=VALUE, as in {EXAMPLES[option]}.")
    return key, load(value, f"{given}: the value")


def override(config: dict[str, Any], key: str, value: Any) -> None:
    """Sets a dotted key: `env_config.map_name` is `map_name` inside `env_config`.

    Raises:
        BadInput: If the key leads through something other than a mapping.
    """
    given = f"--set {key[:_SHOWN]}"
    *parents, last = parts = key.split(".")
    if not all(parts) or len(parts) > _DEEPEST:
        raise BadInput(f"{given}: is not a key; join nested keys with single dots.")
    for parent in parents:
        config = _mapping(config, parent, given)
    config[last] = value


def _mapping(tree: dict[str, Any], key: str, given: str) -> dict[str, Any]:
    """The mapping at a key, created if missing."""
    found = tree.setdefault(key, {})
    if not isinstance(found, dict):
        raise BadInput(f"{given}: {key} is {shown(found)}, which holds no keys.")
    return found
