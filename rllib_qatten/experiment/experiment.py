"""An experiment: read from YAML, changed from the command line, checked, made a `Tuner`.

Everything that can be wrong with an experiment is found here, before Ray starts: the rest of the
command can trust it. `BadInput` is the one error.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.registry import ALGORITHMS as RLLIB_ALGORITHMS
from ray.tune import (
    CheckpointConfig,
    FailureConfig,
    RunConfig,
    TuneConfig,
    Tuner,
)

from rllib_qatten import keys
from rllib_qatten.algorithms import ALGORITHMS
from rllib_qatten.errors import BadInput, one_of
from rllib_qatten.experiment import checks, search
from rllib_qatten.experiment.curves import CSVCurves, JSONCurves
from rllib_qatten.experiment.search_space import examples, grids, put, sampled, searched
from rllib_qatten.experiment.trackers import TRACKERS

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
        config: The algorithm's settings; `grid_search: [...]` anywhere in it makes a trial each,
            and `loguniform: [...]` and its like are sampled (see `sampling`).
        num_samples: How many times the whole grid is run, or sampled.
        checkpoint_config: Fields of Tune's `CheckpointConfig`; defaults are `CHECKPOINTS`.
        storage_path: Folder of all results; Tune's default is ~/ray_results.
        max_failures: How often a trial that failed starts again from its last checkpoint.
        max_concurrent_trials: How many trials run at a time; 0 is as many as fit.
        metric: Result key that schedulers and searches go by; the greedy win rate, or the greedy
            return where nothing is won.
        mode: "max" or "min".
        scheduler: `type` and options of a scheduler of Tune's, or its type alone.
        search_alg: The same for a search algorithm.
        time_budget_s: Seconds after which all trials end.
        reuse_actors: Trials take over the processes of ended ones.
        wandb: Options of Ray's W&B callback.
        mlflow: Options of Ray's MLflow callback.
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
    metric: str | None = None
    mode: str = "max"
    scheduler: Any = None
    search_alg: Any = None
    time_budget_s: float | None = None
    reuse_actors: bool = False
    wandb: dict[str, Any] = dataclasses.field(default_factory=dict)
    mlflow: dict[str, Any] = dataclasses.field(default_factory=dict)
    #: CPUs that the hungriest trial reserves; found by `check`.
    cpus_per_trial: float = dataclasses.field(default=1.0, init=False)

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
        if self.time_budget_s is not None and not _is_positive(self.time_budget_s):
            raise self.bad("time_budget_s", f"must be seconds; got {self.time_budget_s!r}.")
        if not isinstance(self.reuse_actors, bool):
            raise self.bad("reuse_actors", f"must be true or false; got {self.reuse_actors!r}.")
        with self.blame("mode"):
            one_of(self.mode, ("max", "min"), "mode")
        for key, value in self.stop.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise self.bad(f"stop.{key}", f"must be a number; got {value!r}.")
        for key in self.checkpoint_config:
            with self.blame(f"checkpoint_config.{key}"):
                names = [f.name for f in dataclasses.fields(CheckpointConfig)]
                one_of(key, [n for n in names if n[0] != "_"], "key of checkpoint_config")
        with self.blame("checkpoint_config"):
            self._checkpoints()
        self._check_storage()
        variants = list(self.variants())
        if self.run in ALGORITHMS:
            battle = checks.ours(self, variants)
            self.metric = self.metric or (keys.GREEDY_WINS if battle else keys.GREEDY_RETURN)
        self.metric = self.metric or keys.RETURN
        self.cpus_per_trial = max(checks.resources(self, config) for config in variants)
        checks.searching(self)
        for key, make in TRACKERS.items():
            if options := getattr(self, key):
                with self.blame(key):
                    make(options)

    def _check_storage(self) -> None:
        """Whether results can be written where they go; leaves nothing there."""
        folder = self.folder
        if not isinstance(folder, Path):
            return
        # The nearest folder that is there must take new ones.
        there = next(p for p in (folder, *folder.parents) if p.exists())
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            raise self.bad(
                "storage_path",
                f"no results can be written in {there}: {error.strerror}. Name another folder "
                "with --storage-path.",
            ) from error

    @property
    def folder(self) -> Path | str:
        """Where its results go; a string for an address such as s3://bucket."""
        storage = str(self.storage_path or RunConfig().storage_path)
        # Tune takes absolute paths and addresses.
        if "://" in storage:
            return f"{storage}/{self.name}"
        return Path(storage).expanduser().resolve() / self.name

    @property
    def begun(self) -> bool:
        """Whether an earlier run left something to restore."""
        if isinstance(self.folder, str):
            return Tuner.can_restore(self.folder)
        return any(self.folder.glob("experiment_state-*.json"))

    def _checkpoints(self) -> CheckpointConfig:
        return CheckpointConfig(**(CHECKPOINTS | self.checkpoint_config))

    def tuner(self, *, stop: Any, callbacks: list[Any], resume: Path | None) -> Tuner:
        """The `Tuner` that runs it; makes the folder of its results.

        Args:
            stop: A `Stopper`.
            callbacks: Tune callbacks.
            resume: Checkpoint from which its one trial goes on.
        """
        searches = self.scheduler or self.search_alg
        return Tuner(
            self.run,
            param_space=self.param_space,
            tune_config=TuneConfig(
                # Without a search a result may do without it.
                metric=self.metric if searches else None,
                mode=self.mode if searches else None,
                num_samples=self.num_samples,
                max_concurrent_trials=self.max_concurrent_trials,
                scheduler=search.scheduler(self.scheduler) if self.scheduler else None,
                search_alg=(
                    search.searcher(self.search_alg, self.max_concurrent_trials)
                    if self.search_alg
                    else None
                ),
                reuse_actors=self.reuse_actors,
            ),
            run_config=RunConfig(
                name=self.name,
                storage_path=str(self.folder).removesuffix(f"/{self.name}"),
                stop=stop,
                callbacks=[*callbacks, *self._loggers()],
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

    def restored_tuner(self, *, stop: Any, callbacks: list[Any]) -> Tuner:
        """The `Tuner` that goes on with what an earlier run of the same experiment left.

        Args:
            stop: A `Stopper`.
            callbacks: Tune callbacks, in the order of the earlier run.

        Raises:
            BadInput: If the earlier run had other settings.
        """
        with self.blame("config"):
            tuner = Tuner.restore(
                str(self.folder), self.run, resume_errored=True, param_space=self.param_space
            )
        # Tune kept those of the process that ended.
        run_config = tuner._local_tuner.get_run_config()
        run_config.stop = stop
        run_config.callbacks = [*callbacks, *self._loggers()]
        return tuner

    def _loggers(self) -> list[Any]:
        asked = [(make, getattr(self, key)) for key, make in TRACKERS.items()]
        # Tune adds TensorBoard.
        return [CSVCurves(), JSONCurves(), *(make(options) for make, options in asked if options)]


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
