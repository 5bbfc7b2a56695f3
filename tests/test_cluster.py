"""Training on a cluster whose nodes die and come back."""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rllib_qatten.__main__ import app
from tests.experiment.test_sweeps import none_is_left

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What happened on a cluster, and whether all its processes ended."""
    folder = tmp_path_factory.mktemp("cluster")
    # Of its own, or other programs' Ray would join the cluster; short, as sockets' names must be.
    place = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    with (folder / "cluster.txt").open("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster", folder], cwd=ROOT, stdout=said, stderr=said,
            start_new_session=True, env=os.environ | {"RAY_TMPDIR": place, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        try:
            code = process.wait(800)
        finally:
            process.terminate()
        said.seek(0)
        assert code == 0, said.read()
    yield json.loads((folder / "story.json").read_text()), none_is_left(process.pid)
    shutil.rmtree(place, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_training_goes_on_without_a_node_and_with_a_new_one(told):
    story, ended = told
    runners = [story[part]["runners"] for part in ("whole", "lost", "later", "back", "end")]
    assert runners == [2, 1, 1, 2, 2]
    parts = [story[part] for part in ("whole", "lost", "later", "back", "end")]
    for key in ("iteration", "env_steps", "updates"):
        values = [part[key] for part in parts]
        assert values == sorted(set(values)), key
    parts.append(story["learner_back"])  # which may have repeated an iteration, see below
    assert all(math.isfinite(part["loss"]) for part in parts)
    for part in parts:
        # Within an iteration of the schedule's, whichever runners there were.
        assert part["epsilon"] == pytest.approx(1 - 0.95 * part["env_steps"] / 50_000, abs=0.005)
    assert story["exit_code"] == 130  # stopped by the user, with a checkpoint
    assert ended


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_trial_whose_learner_died_goes_on_from_its_checkpoint(told):
    story, _ = told
    died, back = story["learner_lost"], story["learner_back"]
    # A checkpoint was kept every iteration; the newest may have been on its way.
    assert died["iteration"] <= back["iteration"] <= died["iteration"] + 1
    assert back["env_steps"] >= died["env_steps"]
    assert back["updates"] >= died["updates"]


def test_an_address_where_nothing_listens_is_a_users_mistake(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    words = ["train", "-f", str(ROOT / "tuned_examples" / "qmix_two_step.yaml")]
    result = CliRunner().invoke(app, [*words, "--storage-path", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "no Ray cluster at RAY_ADDRESS=127.0.0.1:9: Connection refused" in result.output
    assert not (tmp_path / "out").exists()
