"""A process that trains, saves and is killed, or goes on: `python -m tests.algorithms.resuming`.

Arguments: a JSON object with `run`, `config`, `before` and `after` (iterations), `checkpoint`
(folder), `result` (file) and `part`: "whole", "first" or "second".
"""

import json
import os
import pickle
import signal
import sys

import numpy as np
import ray

from rllib_qatten import ALGORITHMS

#: Results that depend on the clock.
TIMES = ("time", "per_second", "throughput", "date", "pid", "hostname", "node_ip", "since_restore")
#: Of RLlib's own books: which are of the process, or of a moment.
OURS = ("trial_id", "config", "perf", "num_training_step_calls", "weights_seq_no", "timers")


def numbers(result, path=""):
    """Every number of a result that has nothing to do with the clock."""
    if isinstance(result, dict):
        found = {}
        for key, value in result.items():
            if not any(part in str(key) for part in TIMES + OURS):
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
        "drawn": algorithm.replay.sample(8).indices,
    }


def main(run, config, before, after, checkpoint, result, part):
    # Without this the driver's own process has one more random state than the killed one.
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False)
    config = ALGORITHMS[run].get_default_config().update_from_dict(config)
    algorithm = config.build_algo()
    if part == "second":
        algorithm.restore_from_path(checkpoint)
    else:
        for _ in range(before):
            algorithm.train()
    if part == "first":
        algorithm.save_to_path(checkpoint)
        os.kill(os.getpid(), signal.SIGKILL)
    results = [numbers(algorithm.train()) for _ in range(after)]
    with open(result, "wb") as file:
        pickle.dump({"results": results} | fingerprint(algorithm), file)
    algorithm.stop()
    ray.shutdown()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
