"""An experiment as data: the keys of its YAML, and values derived from them."""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field
from ray.tune import RunConfig

from rllib_qatten.errors import BadInput
from rllib_qatten.experiment import search
from rllib_qatten.experiment.search_space import (
    DOMAINS,
    GRID,
    examples,
    grids,
    put,
    sampled,
    searched,
)
from rllib_qatten.experiment.typed import STRICT

#: Characters with a meaning in paths or shells, and invisible ones.
_NO_NAME = re.compile(r"[/\\:*?\"<>|\x00-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]")
#: Combinations of values of which each is checked: with more of them, each value is.
_COMBINATIONS = 32
#: Length of a name: file systems allow 255 bytes, and Tune appends to it.
_LONGEST_NAME = 100
#: Characters of a key and of a problem that are shown in a message.
_SHOWN, _LONGEST_PROBLEM = 100, 700


class Checkpoints(BaseModel):
    """When checkpoints are saved, and which are kept: fields of Tune's `CheckpointConfig`."""

    called: ClassVar = "key of checkpoint_config"
    model_config = STRICT
    num_to_keep: Annotated[int, Field(ge=1)] | None = 3
    """How many checkpoints are kept, so that a crash leaves the last good one; null keeps all."""
    checkpoint_score_attribute: str | None = None
    """Result key; the best checkpoints by this key are kept instead of the newest."""
    checkpoint_score_order: Literal["max", "min"] = "max"
    """Whether a higher score ("max") or a lower one ("min") is better."""
    checkpoint_frequency: Annotated[int, Field(ge=0)] = 10
    """Iterations between two checkpoints; 0 saves none in between."""
    checkpoint_at_end: bool = True
    """Whether a checkpoint is saved when a trial ends."""


class Fields(BaseModel):
    """The keys of an experiment in YAML."""

    called: ClassVar = "key of an experiment"
    model_config = STRICT
    run: str
    """Name of the algorithm, or my_package.my_module:MyAlgorithm."""
    env: str | None = None
    """Name of the environment, or my_package.my_module:MyEnv; may be in `config` instead."""
    stop: dict[str, float] = {}
    """Result key -> value at which a trial stops."""
    config: dict[str, Any] = {}
    """The algorithm's settings; `grid_search: [...]` anywhere in it makes a trial per value, and
    `loguniform: [...]` and the like are sampled."""
    num_samples: Annotated[int, Field(ge=1)] = 1
    """How many times the whole grid is run or sampled."""
    checkpoint_config: Checkpoints = Checkpoints()
    """When checkpoints are saved, and which are kept."""
    storage_path: str | None = None
    """Folder for all results, or an address such as s3://bucket; the default is ~/ray_results."""
    max_failures: Annotated[int, Field(ge=-1)] = 0
    """How often a failed trial restarts from its last checkpoint; -1 means always."""
    max_concurrent_trials: Annotated[int, Field(ge=0)] = 0
    """How many trials run at a time; 0 means as many as fit."""
    metric: str | None = None
    """Result key that schedulers and searches use; by default the greedy win rate, or the greedy
    return if games are not won or lost."""
    mode: Literal["max", "min"] = "max"
    """Whether a higher metric ("max") or a lower one ("min") is better."""
    scheduler: str | dict[str, Any] | None = None
    """Type and options of one of Tune's schedulers, or only its type."""
    search_alg: str | dict[str, Any] | None = None
    """Type and options of one of Tune's search algorithms, or only its type."""
    time_budget_s: Annotated[float, Field(gt=0)] | None = None
    """Seconds after which all trials end."""
    reuse_actors: bool = False
    """Whether trials reuse the processes of finished ones."""
    wandb: dict[str, Any] = {}
    """Options of Ray's W&B callback."""
    mlflow: dict[str, Any] = {}
    """Options of Ray's MLflow callback."""


class _LocatedError(BadInput):
    """One that begins with its file and key."""


def _combinations(values: dict[tuple[Any, ...], list[Any]]) -> Iterator[dict[tuple[Any, ...], Any]]:
    """Settings by path, see `Experiment.variants`."""
    if math.prod(map(len, values.values())) <= _COMBINATIONS:
        for combination in itertools.product(*values.values()):
            yield dict(zip(values, combination, strict=True))
    else:
        for path, each in values.items():
            yield from ({path: value} for value in each)


class Experiment(Fields):
    """One experiment in Tune's format: its fields, the file they are from, and its name."""

    file: Path
    """The file it was read from."""
    name: str
    """Its name, which is also that of its results folder."""

    @property
    def num_trials(self) -> int:
        """The number of its trials."""
        return self.num_samples * math.prod(grids(self.param_space))

    @property
    def environment(self) -> Any:
        """The environment that will be played."""
        return self.config.get("env", self.env)

    @property
    def param_space(self) -> dict[str, Any]:
        """Tune's `param_space`: the config with the environment and Tune's domains in it."""
        if len(self.config) == 1 and self.config.keys() & {GRID, *DOMAINS}:
            raise self.error("config", "cannot be sampled as a whole, only setting by setting.")
        return self._sampled("config", self.config) | {"env": self.environment}

    @property
    def mutated(self) -> dict[tuple[Any, ...], Any]:
        """The settings that a scheduler changes: path -> list or domain."""
        options = self.scheduler if isinstance(self.scheduler, dict) else {}
        where = f"scheduler.{search.MUTATIONS}"
        return search.mutated(self._sampled(where, options.get(search.MUTATIONS) or {}))

    def _sampled(self, key: str, tree: Any) -> Any:
        try:
            return sampled(tree, (key,))
        except ValueError as error:
            where, _, problem = str(error).partition(": ")
            raise self.error(where, problem) from error

    def variants(self) -> Iterator[dict[str, Any]]:
        """Configs that cover every value of every grid, and the ends of every range, at least once.

        In all combinations, if there are not too many; else one by one, while all other settings
        keep their first value. What a scheduler changes is combined by itself.
        """
        first = copy.deepcopy(self.param_space)
        varied = searched(first)
        for path, values in varied.items():
            put(first, path, values[0])
        yield first
        mutated = {path: examples(domain) for path, domain in self.mutated.items()}
        for change in (*_combinations(varied), *_combinations(mutated)):
            variant = copy.deepcopy(first)
            for path, value in change.items():
                put(variant, path, value)
            if variant != first:
                yield variant

    @property
    def folder(self) -> Path | str:
        """Its results folder; a string for an address such as s3://bucket."""
        storage = str(self.storage_path or RunConfig().storage_path).removeprefix("file://")
        # Tune takes absolute paths and addresses.
        if "://" in storage:
            return f"{storage.rstrip('/')}/{self.name}"
        return Path(storage).expanduser().resolve() / self.name

    def error(self, key: str, problem: object) -> BadInput:
        """An error that names file, experiment and key."""
        text = str(problem)
        text = text if len(text) < _LONGEST_PROBLEM else f"{text[:_LONGEST_PROBLEM]} ..."
        return _LocatedError(f"{self.file}: {self.name}.{key[:_SHOWN]}: {text}")

    @contextlib.contextmanager
    def locating(self, key: str) -> Iterator[None]:
        """Turns whatever goes wrong inside into `error(key, ...)`."""
        try:
            yield
        except _LocatedError:
            raise
        except Exception as error:  # RLlib and envs raise anything for an invalid setting
            # The text of these two suffices; for other errors, the type matters too.
            plain = isinstance(error, ValueError | ModuleNotFoundError)
            kind = "" if plain else f"{type(error).__name__}: "
            raise self.error(key, f"{kind}{error}") from error


def check_name(name: str) -> None:
    """Verifies that a name is usable as the name of one new folder.

    Raises:
        ValueError: If it doesn't.
    """
    if not name or name != name.strip() or name.startswith((".", "~", "-")):
        raise ValueError(f"{name!r} is not a valid name: it must begin with a letter or a digit.")
    if found := _NO_NAME.search(name):
        raise ValueError(f"{name!r} is not a valid name: it cannot contain {found[0]!r}.")
    if len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"{name[:20]!r}... is too long a name: at most {_LONGEST_NAME} bytes.")
