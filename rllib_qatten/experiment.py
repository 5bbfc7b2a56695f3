"""An experiment: read from YAML, changed from the command line, checked, made a `Tuner`.

Everything that can be wrong with an experiment is found here, before Ray starts: the rest of the
command can trust it. `BadInput` is the one error.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ray.rllib.algorithms.registry import ALGORITHMS as RLLIB_ALGORITHMS
from ray.tune import (
    CheckpointConfig,
    FailureConfig,
    RunConfig,
    TuneConfig,
    Tuner,
)
from ray.tune.registry import get_trainable_cls
from ray.tune.search.variant_generator import parse_spec_vars

from rllib_qatten.algorithms import ALGORITHMS
from rllib_qatten.envs import check_env, env_creator
from rllib_qatten.errors import BadInput
from rllib_qatten.metrics import KEYS
from rllib_qatten.suggest import one_of

#: Keys that Tune itself adds to every result, besides those in `KEYS`.
TUNE_KEYS = ("time_this_iter_s", "time_since_restore", "iterations_since_restore")
#: Keeps the newest few, so that a crash leaves the last good one, and one at the end.
CHECKPOINTS = {"checkpoint_frequency": 10, "num_to_keep": 3, "checkpoint_at_end": True}


@dataclasses.dataclass
class Experiment:
    """One experiment in Tune's format; every field but the first two is a key of the YAML.

    Attributes:
        file: Where it was read.
        name: Its name, also of the folder of its results.
        run: Name of the algorithm.
        env: Name of the environment; may also be in `config`, which goes first.
        stop: Result key -> value at which a trial stops.
        config: The algorithm's settings; `grid_search: [...]` anywhere in it makes a trial each.
        num_samples: How many times the whole grid is run.
        checkpoint_config: Fields of Tune's `CheckpointConfig`; defaults are `CHECKPOINTS`.
        storage_path: Folder of all results; Tune's default is ~/ray_results.
        max_failures: How often a trial that failed starts again from its last checkpoint.
        max_concurrent_trials: How many trials run at a time; 0 is as many as fit.
    """

    file: Path
    name: str
    run: str = ""
    env: Any = None
    stop: dict[str, float] = dataclasses.field(default_factory=dict)
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    num_samples: int = 1
    checkpoint_config: dict[str, Any] = dataclasses.field(default_factory=dict)
    storage_path: str | None = None
    max_failures: int = 0
    max_concurrent_trials: int = 0
    #: CPUs that the hungriest trial reserves; found by `check`.
    cpus_per_trial: float = dataclasses.field(default=1.0, init=False)

    @property
    def num_trials(self) -> int:
        """How many trials it has."""
        return self.num_samples * math.prod(len(values) for _, values in self._grid())

    @property
    def environment(self) -> Any:
        """The environment that will be played."""
        return self.config.get("env", self.env)

    @property
    def param_space(self) -> dict[str, Any]:
        """What Tune is given: the config with the environment in it."""
        return self.config | {"env": self.environment}

    def _grid(self) -> list[tuple[tuple[Any, ...], list[Any]]]:
        """Every `grid_search` in the config: its path and its values."""
        try:
            _, _, grid = parse_spec_vars(self.param_space)
        except TypeError as error:
            raise self.bad("config", "grid_search needs a list of values, [0.1, 0.2].") from error
        for path, values in grid:
            if not values.categories:
                raise self.bad("config." + ".".join(map(str, path)), "grid_search has no values.")
        return [(path, list(values.categories)) for path, values in grid]

    def variants(self) -> Iterator[dict[str, Any]]:
        """Configs that hold every value of every grid at least once, with the others' first."""
        first = copy.deepcopy(self.param_space)
        grid = self._grid()
        for path, values in grid:
            _put(first, path, values[0])
        yield first
        for path, values in grid:
            for value in values[1:]:
                variant = copy.deepcopy(first)
                _put(variant, path, value)
                yield variant

    def bad(self, key: str, problem: object) -> BadInput:
        """The error that says where: file, experiment and key."""
        return BadInput(f"{self.file}: {self.name}.{key}: {problem}")

    @contextlib.contextmanager
    def blame(self, key: str) -> Iterator[None]:
        """Turns whatever goes wrong inside into `bad(key, ...)`."""
        try:
            yield
        except BadInput:
            raise
        except Exception as error:  # RLlib and envs raise anything for a bad setting
            # These two are messages; of other errors the kind is half of it.
            plain = isinstance(error, ValueError | ModuleNotFoundError)
            kind = "" if plain else f"{type(error).__name__}: "
            raise self.bad(key, f"{kind}{error}") from error

    def check(self) -> None:
        """Checks everything that does not need Ray to run.

        Raises:
            BadInput: For the first fault, with file and key.
        """
        with self.blame("run"):
            one_of(self.run, {**ALGORITHMS, **RLLIB_ALGORITHMS}, "algorithm")
        for key, low in (("num_samples", 1), ("max_failures", -1), ("max_concurrent_trials", 0)):
            value = getattr(self, key)
            if type(value) is not int or value < low:
                raise self.bad(key, f"must be a whole number, {low} or more; got {value!r}.")
        for key, value in self.stop.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise self.bad(f"stop.{key}", f"must be a number; got {value!r}.")
        for key in self.checkpoint_config:
            with self.blame(f"checkpoint_config.{key}"):
                names = [f.name for f in dataclasses.fields(CheckpointConfig)]
                one_of(key, [n for n in names if n[0] != "_"], "key of checkpoint_config")
        with self.blame("checkpoint_config"):
            self._checkpoints()
        variants = list(self.variants())
        if self.run in ALGORITHMS:
            self._check_ours(variants)
        for config in variants:
            self._check_resources(config)

    def _check_ours(self, variants: list[dict[str, Any]]) -> None:
        """Keys of results, settings and environments, which are known for our algorithms only."""
        for where, key in (
            *((f"stop.{key}", key) for key in self.stop),
            (
                "checkpoint_config.checkpoint_score_attribute",
                self.checkpoint_config.get("checkpoint_score_attribute"),
            ),
        ):
            # Numbered keys are a family: head_3_entropy is one with head_0_entropy.
            if key is not None and re.sub(r"\d+", "0", str(key)) not in KEYS:
                with self.blame(where):
                    one_of(key, [*KEYS, *TUNE_KEYS], "key of a result")
        for config in variants:
            with self.blame("env"):
                create = env_creator(config["env"])
            settings = ALGORITHMS[self.run].get_default_config()
            defaults = settings.to_dict()
            for key, value in config.items():
                if wanted := _other_kind(defaults.get(key), value):
                    raise self.bad(f"config.{key}", f"must be {wanted}; got {value!r}.")
            with self.blame("config"):
                settings.update_from_dict(config)
                settings.validate()
                settings.get_evaluation_config_object()
            with self.blame("config.env_config"):
                env = create(settings.env_config)
                # An engine that brings its own vector of teams keeps the contract by construction.
                if not hasattr(env, "vectorize"):
                    check_env(env, team_reward=settings.team_reward)
                env.close()

    def _check_resources(self, config: dict[str, Any]) -> None:
        """What a trial reserves: with too little of it Ray would wait for ever."""
        with self.blame("config"):
            algorithm: Any = get_trainable_cls(self.run)
            request = algorithm.default_resource_request(config)
        needs = request.required_resources
        self.cpus_per_trial = max(self.cpus_per_trial, needs.get("CPU", 0.0))
        have = torch.cuda.device_count()
        if needs.get("GPU", 0.0) > have and "RAY_ADDRESS" not in os.environ:
            raise self.bad("config", f"a trial needs {needs['GPU']:g} GPUs and {have} are here.")

    def _checkpoints(self) -> CheckpointConfig:
        return CheckpointConfig(**(CHECKPOINTS | self.checkpoint_config))

    def _absolute_storage(self) -> str | None:
        # Tune takes absolute paths and addresses like s3://bucket.
        if self.storage_path is None or "://" in self.storage_path:
            return self.storage_path
        return str(Path(self.storage_path).expanduser().resolve())

    def tuner(self, *, stop: Any, callbacks: list[Any], resume: Path | None) -> Tuner:
        """The `Tuner` that runs it; makes the folder of its results.

        Args:
            stop: A `Stopper`.
            callbacks: Tune callbacks.
            resume: Checkpoint from which its one trial goes on.
        """
        return Tuner(
            self.run,
            param_space=self.param_space,
            tune_config=TuneConfig(
                num_samples=self.num_samples,
                max_concurrent_trials=self.max_concurrent_trials,
            ),
            run_config=RunConfig(
                name=self.name,
                storage_path=self._absolute_storage(),
                stop=stop,
                callbacks=callbacks,
                checkpoint_config=self._checkpoints(),
                failure_config=FailureConfig(max_failures=self.max_failures),
                # What a trial prints is kept beside its results and not mixed into the table.
                log_to_file=True,
                verbose=0,
            ),
            # `tune.run(restore=...)`: the trial begins with this checkpoint, and one that fails
            # later goes on from its own.
            _tuner_kwargs={"restore": str(resume)} if resume else None,
        )


def _other_kind(default: Any, value: Any) -> str | None:
    """What a setting must be, if `value` is plainly not of its default's kind."""
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "true or false"
    if isinstance(default, int | float):
        # Schedules are lists, and RLlib finds some numbers itself.
        return "a number" if isinstance(value, bool | str | dict) and value != "auto" else None
    return "a mapping" if isinstance(default, dict) and not isinstance(value, dict) else None


def _put(config: Any, path: tuple[Any, ...], value: Any) -> None:
    for part in path[:-1]:
        config = config[part]
    config[path[-1]] = value
