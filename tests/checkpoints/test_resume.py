"""Going on from a checkpoint equals not having stopped."""

import functools
import json
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rllib_qatten import ALGORITHMS
from tests.settings import those_of

TINY = {
    "env": "two_step_game",
    "num_envs_per_env_runner": 4,
    "min_sample_timesteps_per_iteration": 50,
    "train_batch_size_episodes": 8,
    "replay_capacity_episodes": 50,
    "updates_per_episode": 0.3,
    "evaluation_duration": 5,
    "hidden_size": 16,
    "mixing_embed_dim": 8,
    "hypernet_embed": 8,
    "seed": 1,
    # It ends in the middle of the run: a schedule that began anew would show.
    "epsilon": [[0, 1.0], [150, 0.1]],
    "lr": [[0, 0.001], [300, 0.0001]],
}
SMAX = TINY | {
    "env": "smac",
    "env_config": {"map_name": "3m", "engine": "smax"},
    "num_envs_per_env_runner": 2,
    "min_sample_timesteps_per_iteration": 220,
    "train_batch_size_episodes": 2,
    "evaluation_duration": 2,
}
CASES = {name: (name, those_of(name, TINY)) for name in ALGORITHMS} | {
    "smax": ("Qatten", SMAX),
    "entity": ("QMIX", TINY | {"env": "tests.teams:Skirmish", "agent": "entity"}),
    "prioritized": ("QMIX", TINY | {"replay": "prioritized"}),
    "runners": ("Qatten", TINY | {"num_env_runners": 2}),
    "overlapped": ("Qatten", TINY | {"num_env_runners": 1, "sampling": "overlapped"}),
}
#: The case that the default suite tries; the others start processes that play, or take long.
QUICK = "Qatten"


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """A function: cases -> the folder of what two processes left of them, the first one killed."""

    @functools.cache
    def folder_of(names):
        folder = tmp_path_factory.mktemp("resume")
        cases = json.dumps({name: CASES[name] for name in names})
        for part, code in (("first", -signal.SIGKILL), ("second", 0)):
            command = [sys.executable, "-m", "tests.checkpoints.resuming", part, folder, cases]
            # A file: Ray's processes would hold a pipe open for a while after the kill.
            with open(folder / f"{part}.txt", "w+") as said:
                root = Path(__file__).parents[2]
                process = subprocess.run(command, stdout=said, stderr=said, cwd=root, timeout=280)
                said.seek(0)
                assert process.returncode == code, said.read()
        return folder

    return folder_of


def assert_equal(ours, theirs, path=""):
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), path
        for key, value in ours.items():
            assert_equal(value, theirs[key], f"{path}/{key}")
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), path
        for i, value in enumerate(ours):
            assert_equal(value, theirs[i], f"{path}/{i}")
    else:
        np.testing.assert_array_equal(ours, theirs, err_msg=path)


@pytest.mark.timeout(600)  # two processes that start Ray, on a machine that may be busy
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == QUICK else [pytest.mark.slow]) for n in CASES]
)
def test_killed_and_resumed_equals_uninterrupted(left, name):
    folder = left((QUICK,) if name == QUICK else tuple(n for n in CASES if n != QUICK))
    whole, resumed = (
        pickle.loads((folder / f"{name}.{part}.pkl").read_bytes()) for part in ("first", "second")
    )
    assert whole["results"][-1]["/num_updates_lifetime"] > 5
    assert whole["loop"]["games"]["env_runners"]
    assert_equal(whole, resumed)
