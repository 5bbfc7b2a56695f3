"""What a cluster lacks for an algorithm's processes; Ray would wait for it without a word."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import ray
import torch
from ray.util import get_current_placement_group

from rllib_qatten.messages import say


def say_what_is_lacking(algorithm: Any, config: Any) -> None:
    """Names what an algorithm's other processes need and the cluster, as it is, does not have.

    It is no error: a cluster may grow. Within Tune, which reserves a trial's resources before it
    begins and reports what is lacking itself, nothing is said.

    Args:
        algorithm: The algorithm's class.
        config: Its validated settings.
    """
    if not (config.num_env_runners or config.evaluation_num_env_runners or config.num_learners):
        return
    if ray.is_initialized() and get_current_placement_group() is not None:
        return
    # Outside of Tune nothing is reserved for this process.
    _, *others = algorithm.default_resource_request(config.to_dict()).bundles
    needs: Counter[str] = Counter()
    for bundle in others:
        needs.update(bundle)
    there = _resources()
    lacking = [
        f"{amount:g} of {name}, of which there are {there.get(name, 0):g}"
        for name, amount in needs.items()
        if amount > there.get(name, 0)
    ]
    if lacking:
        say(
            f"{config.name} waits until its {len(others)} other processes have "
            f"{' and '.join(lacking)}. Unless the cluster grows, set num_env_runners, "
            "evaluation_num_env_runners, num_learners or what each of these takes lower, or start "
            "Ray with more: ray.init(num_cpus=...)."
        )


def _resources() -> dict[str, float]:
    """The cluster's; before Ray starts, what it will find here."""
    if ray.is_initialized():
        return ray.cluster_resources()
    return {"CPU": os.cpu_count() or 1, "GPU": torch.cuda.device_count()}
