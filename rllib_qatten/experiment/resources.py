"""Checks that a machine can provide what a trial's settings ask for."""

from __future__ import annotations

import os
from typing import Any

import torch

from rllib_qatten.experiment.experiment import Experiment
from rllib_qatten.experiment.process_environment import cluster_address
from rllib_qatten.experiment.settings import naming_culprit
from rllib_qatten.hardware.machine import cpus

#: Settings that are numbers of processes of a trial.
PROCESSES = (
    "num_env_runners",
    "evaluation_num_env_runners",
    "num_offline_eval_runners",
    "num_learners",
    "num_aggregator_actors_per_learner",
)
#: The least memory of a process: one that has only imported RLlib.
PROCESS_BYTES = 250e6
#: More than any cluster has, and more than Ray can list.
MAX_PROCESSES = 100_000
#: More games than any process plays in parallel.
MAX_GAMES = 100_000


def check_counts(experiment: Experiment, config: dict[str, Any]) -> None:
    """Refuses numbers of processes and games that cannot be started, or even listed."""
    for key in PROCESSES:
        if (count := config.get(key) or 0) > MAX_PROCESSES:
            raise experiment.error(f"config.{key}", f"{count:,} processes are too many.")
    if (games := config.get("num_envs_per_env_runner") or 0) > MAX_GAMES:
        raise experiment.error(
            "config.num_envs_per_env_runner", f"{games:,} games are too many for a process."
        )


def check_resources(experiment: Experiment, algorithm: Any, config: dict[str, Any]) -> float:
    """The CPUs that a trial reserves.

    Args:
        experiment: For messages.
        algorithm: The algorithm's class.
        config: Its settings, whose counts were checked.

    Raises:
        BadInput: If it asks for more than there is: Ray would wait forever.
    """
    # RLlib validates the config again, which builds a mixer.
    with torch.device("meta"):
        request = naming_culprit(experiment, config, algorithm.default_resource_request)
    needs = request.required_resources
    if cluster_address() is None:
        _check_this_machine(experiment, request.bundles, needs)
    return needs.get("CPU", 0.0)


def _check_this_machine(
    experiment: Experiment, bundles: list[dict[str, float]], needs: dict[str, float]
) -> None:
    gpus = torch.cuda.device_count()
    if needs.get("GPU", 0.0) > gpus:
        raise experiment.error(
            "config", f"a trial needs {needs['GPU']:g} GPUs, but there are {gpus}."
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if len(bundles) * PROCESS_BYTES > memory:
        raise experiment.error(
            "config",
            f"a trial starts {len(bundles):,} processes, of {PROCESS_BYTES / 1e6:.0f} MB each at "
            f"least, and this machine has {memory / 1e9:.0f} GB: use fewer env runners, or a "
            "cluster (RAY_ADDRESS).",
        )
    # Processes may share CPUs, and two threads one, but no process can have more than there are.
    if (most := max(bundle.get("CPU", 0.0) for bundle in bundles)) > max(cpus(), 2):
        raise experiment.error("config", f"a process needs {most:g} CPUs, but there are {cpus()}.")
    for name, amount in needs.items():
        if amount and name not in ("CPU", "GPU"):
            raise experiment.error("config", f"a trial needs {name}, a cluster's resource.")
