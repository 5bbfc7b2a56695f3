"""What an experiment will cost: trials, processes, memory, and time if it ran before."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import Any

import torch

from rllib_qatten.algorithms.resolve import algorithm_class
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.envs import declare, env_creator
from rllib_qatten.experiment.pace import Past, last_run
from rllib_qatten.experiment.resources import PROCESS_BYTES, PROCESSES
from rllib_qatten.experiment.settings import validated
from rllib_qatten.experiment.tuner import Plan
from rllib_qatten.hardware.machine import available_memory, cpus, gigabytes
from rllib_qatten.rollout.replay import predicted_bytes


@dataclasses.dataclass(frozen=True)
class Cost:
    """Costs of one experiment.

    Attributes:
        trials: Its trials.
        at_once: How many of them run at a time on this machine.
        processes: Processes of a trial: the one that learns, env runners, learners.
        cpus: CPUs that a trial reserves.
        gpus: GPUs that a trial reserves.
        replay_bytes: Most that a trial's replay takes; None if nobody knows.
        past: The last run of it, if there was one.
        seconds: Estimate from that run; None without one.
    """

    trials: int
    at_once: int
    processes: int
    cpus: float
    gpus: float
    replay_bytes: int | None
    past: Past | None
    seconds: float | None

    @property
    def memory(self) -> float:
        """The least memory that all of its processes and full replays take, in bytes."""
        return self.at_once * (self.processes * PROCESS_BYTES + (self.replay_bytes or 0))

    def lines(self) -> list[tuple[str, str]]:
        """What, and how much: for people."""
        replay = "of unknown size"
        if self.replay_bytes is not None:
            replay = f"at most {gigabytes(self.replay_bytes)}"
        share = f", {self.gpus:g} GPUs" if self.gpus else ""
        free = available_memory()
        enough = "" if self.memory < free else ": NOT ENOUGH, set replay_capacity_episodes lower"
        needs = f"{_count(self.processes, 'process')}, {_count(self.cpus, 'CPU')}{share}"
        lines = [
            ("trials", f"{self.trials}, {self.at_once} at a time on this machine"),
            ("a trial", f"{needs}; replay {replay}"),
            ("memory", f"{gigabytes(self.memory)} or more of {gigabytes(free)} free{enough}"),
        ]
        if self.past is None:
            return [*lines, ("time", "unknown: it has not run here before")]
        speed = f"{self.past.env_steps / self.past.seconds:,.0f} env steps/s"
        if self.seconds is None:
            return [*lines, ("time", f"unknown: no criterion grows steadily; {speed}")]
        return [*lines, ("time", f"about {_words(self.seconds)}, at the last run's {speed}")]


def cost(plan: Plan) -> Cost:
    """The costs of a checked experiment."""
    experiment = plan.experiment
    algorithm = algorithm_class(experiment.run)
    config = next(iter(experiment.variants()))
    with torch.device("meta"):
        needs = algorithm.default_resource_request(config).required_resources
    trials = experiment.num_trials
    gpus = needs.get("GPU", 0.0)
    fit = int(cpus() // plan.cpus_per_trial) if plan.cpus_per_trial else trials
    fit = min(fit, int(torch.cuda.device_count() // gpus)) if gpus else fit
    at_once = max(1, min(trials, fit, experiment.max_concurrent_trials or trials))
    past = last_run(experiment.folder)
    once = past.seconds_until(experiment.stop) if past else None
    if once is not None:
        once *= math.ceil(trials / at_once)
    budget = experiment.time_budget_s
    seconds = min((s for s in (once, budget) if s is not None), default=None)
    settings: Any = algorithm.get_default_config().update_from_dict(dict(config))
    return Cost(
        trials,
        at_once,
        1 + sum(getattr(settings, key, 0) or 0 for key in PROCESSES),
        plan.cpus_per_trial,
        gpus,
        _replay_bytes(plan, algorithm, config),
        past,
        seconds,
    )


def _replay_bytes(plan: Plan, algorithm: Any, config: dict[str, Any]) -> int | None:
    if not issubclass(algorithm, ValueDecomposition):
        return None
    settings: Any = validated(plan.experiment, algorithm, config)
    with contextlib.closing(env_creator(config["env"])(settings.env_config)) as env:
        spec = declare(env).spec.ended_after(settings.max_episode_steps)
    return predicted_bytes(spec, settings.replay_capacity_episodes)


def _count(number: float, name: str) -> str:
    many = "es" if name.endswith("s") else "s"
    return f"{number:g} {name}{many if number != 1 else ''}"


def _words(seconds: float) -> str:
    """A time of this size."""
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"
