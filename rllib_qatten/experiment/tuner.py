"""A checked experiment as Tune's `Tuner`, to run or to continue."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ray.train._internal import storage
from ray.tune import Callback, CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner
from ray.tune.execution import tune_controller
from ray.tune.logger import TBXLoggerCallback
from ray.tune.schedulers import TrialScheduler

from rllib_qatten.experiment.actor_manager import ForgetfulActorManager
from rllib_qatten.experiment.curves import CSVCurves, JSONCurves
from rllib_qatten.experiment.experiment import Experiment
from rllib_qatten.experiment.stopping import Stopping
from rllib_qatten.experiment.whole_copies import upload

# Tune has no options for these.
tune_controller.RayActorManager = ForgetfulActorManager
storage._upload_to_fs_path = upload


@dataclasses.dataclass(frozen=True)
class Plan:
    """A checked experiment with the parts of its `Tuner`, which are built once.

    Attributes:
        experiment: The experiment.
        trainable: What Tune runs: a registered name or a class.
        metric: Result key that schedulers and searches use.
        cpus_per_trial: CPUs of the trial that reserves the most.
        scheduler: Tune's scheduler, if one was asked for.
        search_alg: Tune's search algorithm, if one was asked for.
        trackers: Callbacks of W&B and MLflow.
    """

    experiment: Experiment
    trainable: Any
    metric: str
    cpus_per_trial: float
    scheduler: TrialScheduler | None
    search_alg: Any
    trackers: list[Callback]

    @property
    def begun(self) -> bool:
        """Whether an earlier run left something to restore."""
        folder = self.experiment.folder
        if isinstance(folder, str):
            return Tuner.can_restore(folder)
        return any(folder.glob("experiment_state-*.json"))

    @property
    def ends_early(self) -> bool:
        """Whether trials are judged, so that they may end before their stop criteria."""
        return bool(self.scheduler or self.search_alg)


def tuner(plan: Plan, *, stop: Stopping, callbacks: list[Callback], resume: Path | None) -> Tuner:
    """The `Tuner` that runs an experiment; creates the folder for its results.

    Args:
        plan: The checked experiment.
        stop: When its trials end.
        callbacks: Tune callbacks.
        resume: Checkpoint that its single trial continues from.
    """
    experiment = plan.experiment
    return Tuner(
        plan.trainable,
        param_space=experiment.param_space,
        tune_config=TuneConfig(
            # Without a search, results may lack it.
            metric=plan.metric if plan.ends_early else None,
            mode=experiment.mode if plan.ends_early else None,
            num_samples=experiment.num_samples,
            max_concurrent_trials=experiment.max_concurrent_trials,
            scheduler=plan.scheduler,
            search_alg=plan.search_alg,
            reuse_actors=experiment.reuse_actors,
        ),
        run_config=RunConfig(
            name=experiment.name,
            storage_path=str(experiment.folder).removesuffix(f"/{experiment.name}"),
            stop=stop,
            callbacks=all_callbacks(plan, stop, callbacks),
            checkpoint_config=CheckpointConfig(**experiment.checkpoint_config.model_dump()),
            failure_config=FailureConfig(max_failures=experiment.max_failures),
            # A trial's output is kept with its results, not mixed into the table.
            log_to_file=True,
            verbose=0,
        ),
        # `tune.run(restore=...)`: the trial begins with this checkpoint, and one that fails
        # later continues from its own.
        _tuner_kwargs={"restore": str(resume)} if resume else None,
    )


def all_callbacks(plan: Plan, stop: Stopping, callbacks: list[Callback]) -> list[Callback]:
    """A run's callbacks, these and those of every run, in the order that `Stopping` needs."""
    # Tune would append TensorBoard, after the last.
    return [*callbacks, CSVCurves(), JSONCurves(), TBXLoggerCallback(), *plan.trackers, stop]
