"""Processes that train, save and are killed, and go on: `python -m tests.checkpoints.resuming`.

Arguments: "first" or "second", a folder, and cases as JSON: name -> [algorithm, config]. The first
process trains each case for `ITERATIONS`, saves it, trains on for `ITERATIONS`, and is killed. The
second goes on from what was saved. Both leave NAME.PART.pkl.
"""

import json
import os
import pickle
import signal
import sys
from pathlib import Path

import numpy as np
import ray
from ray.rllib.algorithms.algorithm import Algorithm

from rllib_qatten import ALGORITHMS

ITERATIONS = 2
#: Numbers of a result that depend on the clock or on the process.
CLOCK = ("time", "per_second", "throughput", "pid", "since_restore", "perf", "seq_no", "config")


def numbers(result, path=""):
    """Every number of a result that has nothing to do with the clock."""
    if isinstance(result, dict):
        found = {}
        for key, value in result.items():
            if (
                not any(part in str(key).replace("lifetime", "") for part in CLOCK)
                and key != "sample"
            ):
                found |= numbers(value, f"{path}/{key}")
        return found
    return {path: result} if isinstance(result, int | float | np.number) else {}


def fingerprint(algorithm):
    """All that two runs must have in common, as arrays and plain objects."""
    learner = algorithm.learner_group.get_state()["learner"]
    return {
        "weights": learner["rl_module"]["default_policy"],
        "optimizer": learner["optimizer"],
        "targets_updated": learner["last_target_update_episodes"],
        "replay": [
            [np.asarray(getattr(episode, name)) for name in episode.__slots__]
            for episode in algorithm.replay.episodes
        ],
        "loop": algorithm.get_state(components="loop")["loop"] | {"time_total_s": None},
        "drawn": algorithm.replay.sample(8)[1:],
    }


def go_on(algorithm, file):
    results = [numbers(algorithm.train()) for _ in range(ITERATIONS)]
    file.write_bytes(pickle.dumps({"results": results} | fingerprint(algorithm)))
    algorithm.stop()


def build(run, config):
    return ALGORITHMS[run].get_default_config().update_from_dict(config).build_algo()


def first(folder, cases):
    for i, (name, case) in enumerate(cases.items()):
        algorithm = build(*case)
        for _ in range(ITERATIONS):
            algorithm.train()
        algorithm.save_to_path(folder / name)
        if i == 0:
            # Once also without saving, which must change nothing; else what saves goes on.
            algorithm.stop()
            algorithm = build(*case)
            for _ in range(ITERATIONS):
                algorithm.train()
        go_on(algorithm, folder / f"{name}.first.pkl")
    os.kill(os.getpid(), signal.SIGKILL)


def second(folder, cases):
    for i, (name, case) in enumerate(cases.items()):
        if i % 2:
            algorithm = build(*case)
            algorithm.restore_from_path(folder / name)
        else:
            algorithm = Algorithm.from_checkpoint(folder / name)
        go_on(algorithm, folder / f"{name}.second.pkl")


if __name__ == "__main__":
    part, folder, cases = sys.argv[1:]
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False)
    {"first": first, "second": second}[part](Path(folder), json.loads(cases))
    ray.shutdown()
