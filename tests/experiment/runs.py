"""`rllib train` as a process of its own, to be stopped, killed and restored."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

from tests.experiment.test_sweeps import none_is_left

GAME = {
    "run": "QMIX",
    "env": "two_step_game",
    "stop": {"training_iteration": 12},
    "checkpoint_config": {"checkpoint_frequency": 4},
    "config": {
        "seed": 7,
        "hidden_size": 8,
        "min_sample_timesteps_per_iteration": 512,
        "evaluation_interval": 3,
        "evaluation_duration": 4,
        "train_batch_size_episodes": 8,
    },
}


def changed(**config):
    """The game with other settings."""
    return GAME | {"config": GAME["config"] | config}


class Run:
    """`rllib train` in a session of its own."""

    def __init__(self, folder, experiment, *words, terminal=None, **environment):
        (folder / "exp.yaml").write_text(yaml.safe_dump({"game": experiment}))
        command = [sys.executable, "-m", "rllib_qatten", "train", "-f", "exp.yaml"]
        (folder / "tmp").mkdir(exist_ok=True)
        self.folder = folder
        pipes = {"stdin": terminal} if terminal else {}
        self.process = subprocess.Popen(
            [*command, *([] if "--storage-path" in words else ["--storage-path", "out"]), *words],
            cwd=folder, text=True, start_new_session=True,
            stdout=terminal or (folder / "stdout").open("w"),
            stderr=terminal or (folder / "stderr").open("w"),
            env=os.environ | environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
            **pipes,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        assert none_is_left(self.process.pid)

    @property
    def output(self):
        return (self.folder / "stdout").read_text()

    @property
    def errors(self):
        return (self.folder / "stderr").read_text()

    @property
    def rows(self):
        """All results of its first trial."""
        return results(self.folder)

    def lines(self):
        return len(re.findall(r"^ +[\d,]+ +", self.output, re.MULTILINE))

    def wait_for(self, condition, seconds=120):
        """Waits until something holds, of a process that goes on."""
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.errors
            assert time.monotonic() < end, self.output + self.errors
            time.sleep(0.05)

    def end(self, seconds=180):
        """Its exit code."""
        return self.process.wait(seconds)


def results(folder):
    """All results of the first trial of a run in a folder."""
    files = sorted((folder / "out" / "game").glob("*/result.json"))
    return [json.loads(line) for line in files[0].read_text().splitlines()] if files else []


def left_in(folder):
    """Temporary folders of runs."""
    return list(folder.glob("rllib*"))


def trained(folder, experiment, *words):
    """All results of a run that goes to its end."""
    with Run(folder, experiment, *words) as run:
        assert run.end(900) == 0, run.errors
        assert "Traceback" not in run.errors
        return run.rows
