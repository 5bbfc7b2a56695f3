"""A cluster of several nodes on this machine that loses nodes: `python -m tests.cluster FOLDER`.

The nodes have loopback addresses: a head with the driver, one for the algorithm ("loop"), one for
its learner ("learner"), and two for env runners ("player"). The command trains on them. Leaves
FOLDER/story.json: what was seen, and when.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml
from ray.cluster_utils import Cluster

EXPERIMENT = {
    "run": "VDN",
    "env": "two_step_game",
    "max_failures": 3,
    "checkpoint_config": {"checkpoint_frequency": 1},
    "config": {
        "num_env_runners": 2,
        "custom_resources_per_env_runner": {"player": 1},
        "num_learners": 1,
        "custom_resources_per_learner": {"learner": 1},
        "custom_resources_for_main_process": {"loop": 1},
        "min_sample_timesteps_per_iteration": 200,
        "num_envs_per_env_runner": 4,
        "evaluation_duration": 2,
        "train_batch_size_episodes": 8,
        "updates_per_episode": 0.1,
        "hidden_size": 8,
        "seed": 1,
    },
}


class Run:
    """The command, training on a cluster."""

    def __init__(self, folder, address):
        self.folder = folder
        (folder / "cluster.yaml").write_text(yaml.safe_dump({"cluster": EXPERIMENT}))
        command = [sys.executable, "-m", "rllib_qatten", "train", "-f", "cluster.yaml"]
        self.process = subprocess.Popen(
            [*command, "--storage-path", "out"], cwd=folder,
            stdout=(folder / "said.txt").open("w"), stderr=subprocess.STDOUT,
            env=os.environ | {"RAY_ADDRESS": address},
        )  # fmt: skip

    def results(self):
        """All results so far; a line that is being written does not count."""
        lines = [f.read_text() for f in self.folder.glob("out/cluster/*/result.json")]
        return [json.loads(line) for line in "".join(lines).splitlines(True) if line[-1] == "\n"]

    def wait_for(self, what, seconds=240):
        """The first result from now on of which `what` is true."""
        seen, end = len(self.results()), time.monotonic() + seconds
        while time.monotonic() < end:
            for result in self.results()[seen:]:
                if what(result):
                    return result
            assert self.process.poll() is None, (self.folder / "said.txt").read_text()
            time.sleep(0.2)
        raise TimeoutError((self.folder / "said.txt").read_text())


def runners(result):
    return result["fault_tolerance"]["num_healthy_workers"]


def told(result):
    """What the story keeps of a result."""
    learned = result["learners"]["default_policy"]
    return {
        "iteration": result["training_iteration"],
        "env_steps": result["num_env_steps_sampled_lifetime"],
        "updates": result["num_updates_lifetime"],
        "loss": learned["total_loss"],
        "epsilon": result["env_runners"]["epsilon"],
        "runners": runners(result),
        "seconds": result["time_this_iter_s"],
    }


def main(folder):
    # Not the first: Ray takes 127.0.0.1 for this machine's outer address.
    addresses = (f"127.0.0.{i}" for i in range(2, 20))

    def node(**options):
        return {"node_ip_address": next(addresses), "include_dashboard": False, **options}

    def of(kind):
        return node(num_cpus=1, resources={kind: 1})

    cluster = Cluster(initialize_head=True, head_node_args=node(num_cpus=0))
    story = {}
    try:
        cluster.add_node(**of("loop"))
        learner = cluster.add_node(**of("learner"))
        players = [cluster.add_node(**of("player")) for _ in range(2)]
        run = Run(folder, cluster.address)
        story["whole"] = told(run.wait_for(lambda result: result["training_iteration"] >= 3))
        cluster.remove_node(players[1], allow_graceful=False)
        story["lost"] = told(run.wait_for(lambda result: runners(result) == 1))
        story["later"] = told(run.wait_for(lambda result: runners(result) == 1))
        cluster.add_node(**of("player"))
        story["back"] = told(run.wait_for(lambda result: runners(result) == 2))
        cluster.remove_node(learner, allow_graceful=False)
        kept = run.results()[-1]
        story["learner_lost"] = told(kept)
        cluster.add_node(**of("learner"))
        story["learner_back"] = told(run.wait_for(lambda result: True))
        story["end"] = told(run.wait_for(lambda result: runners(result) == 2))
        run.process.send_signal(signal.SIGINT)
        story["exit_code"] = run.process.wait(120)
    finally:
        (folder / "story.json").write_text(json.dumps(story, indent=1))
        if run.process.poll() is None:
            run.process.kill()
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
