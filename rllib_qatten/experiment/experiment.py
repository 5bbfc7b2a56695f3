"""An experiment as data: the keys of its YAML, and what follows from them."""

from __future__ import annotations

import contextlib
import copy
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

#: What stands for more in a path or a shell, and letters that nobody sees.
_NO_NAME = re.compile(r"[/\\:*?\"<>|\x00-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]")
#: Letters of a name: file systems take 255 bytes, and Tune adds to it.
_LONGEST_NAME = 100
#: Letters of a key and of a problem in a message.
_SHOWN, _LONGEST_PROBLEM = 100, 700


class Checkpoints(BaseModel):
    """When checkpoints are saved, and which are kept: fields of Tune's `CheckpointConfig`."""

    called: ClassVar = "key of checkpoint_config"
    model_config = STRICT
    num_to_keep: Annotated[int, Field(ge=1)] | None = 3
    """How many checkpoints are kept, so that a crash leaves the last good one; null keeps all."""
    checkpoint_score_attribute: str | None = None
    """Key of a result; the checkpoints that are best by it are kept instead of the newest."""
    checkpoint_score_order: Literal["max", "min"] = "max"
    """Whether more of it is better, or less."""
    checkpoint_frequency: Annotated[int, Field(ge=0)] = 10
    """Iterations between two checkpoints; 0 saves none in between."""
    checkpoint_at_end: bool = True
    """Whether one is saved when a trial ends."""


class Fields(BaseModel):
    """The keys of an experiment in YAML."""

    called: ClassVar = "key of an experiment"
    model_config = STRICT
    run: str
    """Name of the algorithm, or my_package.my_module:MyAlgorithm."""
    env: str | None = None
    """Name of the environment, or my_package.my_module:MyEnv; may also be in `config`, which goes
    first."""
    stop: dict[str, float] = {}
    """Result key -> value at which a trial stops."""
    config: dict[str, Any] = {}
    """The algorithm's settings; `grid_search: [...]` anywhere in it makes a trial each, and
    `loguniform: [...]` and its like are sampled."""
    num_samples: Annotated[int, Field(ge=1)] = 1
    """How many times the whole grid is run, or sampled."""
    checkpoint_config: Checkpoints = Checkpoints()
    """When checkpoints are saved, and which are kept."""
    storage_path: str | None = None
    """Folder of all results, or an address such as s3://bucket; Tune's own is ~/ray_results."""
    max_failures: Annotated[int, Field(ge=-1)] = 0
    """How often a trial that failed starts again from its last checkpoint; -1 is always."""
    max_concurrent_trials: Annotated[int, Field(ge=0)] = 0
    """How many trials run at a time; 0 is as many as fit."""
    metric: str | None = None
    """Result key that schedulers and searches go by; the greedy win rate, or the greedy return
    where nothing is won."""
    mode: Literal["max", "min"] = "max"
    """Whether more of the metric is better, or less."""
    scheduler: str | dict[str, Any] | None = None
    """Type and options of a scheduler of Tune's, or its type alone."""
    search_alg: str | dict[str, Any] | None = None
    """The same for a search algorithm."""
    time_budget_s: Annotated[float, Field(gt=0)] | None = None
    """Seconds after which all trials end."""
    reuse_actors: bool = False
    """Whether trials take over the processes of ended ones."""
    wandb: dict[str, Any] = {}
    """Options of Ray's W&B callback."""
    mlflow: dict[str, Any] = {}
    """Options of Ray's MLflow callback."""


class _LocatedError(BadInput):
    """One that begins with its file and key."""


class Experiment(Fields):
    """One experiment in Tune's format: the fields, where they were read, and their name."""

    file: Path
    """Where it was read."""
    name: str
    """Its name, also of the folder of its results."""

    @property
    def num_trials(self) -> int:
        """How many trials it has."""
        return self.num_samples * math.prod(grids(self.param_space))

    @property
    def environment(self) -> Any:
        """The environment that will be played."""
        return self.config.get("env", self.env)

    @property
    def param_space(self) -> dict[str, Any]:
        """What Tune is given: the config with the environment and Tune's domains in it."""
        if len(self.config) == 1 and self.config.keys() & {GRID, *DOMAINS}:
            raise self.error("config", "is sampled setting by setting, not as a whole.")
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
            raise BadInput(f"{self.file}: {self.name}.{error}") from error

    def variants(self) -> Iterator[dict[str, Any]]:
        """Configs that hold every value of every grid, and the ends of every range, at least once.

        The others stand at their first value meanwhile.
        """
        first = copy.deepcopy(self.param_space)
        varied = searched(first)
        for path, values in varied.items():
            put(first, path, values[0])
        yield first
        changes = [(path, values[1:]) for path, values in varied.items()]
        changes += [(path, examples(domain)) for path, domain in self.mutated.items()]
        for path, values in changes:
            for value in values:
                variant = copy.deepcopy(first)
                put(variant, path, value)
                yield variant

    @property
    def folder(self) -> Path | str:
        """Where its results go; a string for an address such as s3://bucket."""
        storage = str(self.storage_path or RunConfig().storage_path).removeprefix("file://")
        # Tune takes absolute paths and addresses.
        if "://" in storage:
            return f"{storage.rstrip('/')}/{self.name}"
        return Path(storage).expanduser().resolve() / self.name

    def error(self, key: str, problem: object) -> BadInput:
        """The error that says where: file, experiment and key."""
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
        except Exception as error:  # RLlib and envs raise anything for a bad setting
            # These two are messages; of other errors the kind is half of it.
            plain = isinstance(error, ValueError | ModuleNotFoundError)
            kind = "" if plain else f"{type(error).__name__}: "
            raise self.error(key, f"{kind}{error}") from error


def check_name(name: str) -> None:
    """Makes sure that a name names one new folder and nothing else.

    Raises:
        ValueError: If it doesn't.
    """
    if not name or name != name.strip() or name.startswith((".", "~", "-")):
        raise ValueError(
            f"{name!r} is not a valid name: it names a folder, and begins with a letter or a digit."
        )
    if found := _NO_NAME.search(name):
        raise ValueError(f"{name!r} is not a valid name: a folder's name takes no {found[0]!r}.")
    if len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"{name[:20]!r}... is too long a name: at most {_LONGEST_NAME} bytes.")
