"""Sweeps that run: killed and restored, populations, trackers, processes used again."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from rllib_qatten import QMIXConfig
from rllib_qatten.experiment.checks import check
from rllib_qatten.experiment.file import Changes, read
from rllib_qatten.experiment.restoring import read_state
from rllib_qatten.experiment.stopping import Stopping
from rllib_qatten.experiment.tuner import tuner

SETTINGS = {
    "num_cpus_for_main_process": 0.5,
    "min_sample_timesteps_per_iteration": 64,
    "evaluation_duration": 2,
    "train_batch_size_episodes": 8,
    "updates_per_episode": 0.25,
    "hidden_size": 8,
}
ASHA = {
    "run": "QMIX",
    "env": "two_step_game",
    "num_samples": 4,
    "reuse_actors": True,
    "scheduler": {"type": "asha", "max_t": 6, "grace_period": 2, "reduction_factor": 2},
    "stop": {"training_iteration": 6},
    "checkpoint_config": {"checkpoint_frequency": 1},
    "config": {
        **SETTINGS,
        "lr": {"loguniform": [1e-4, 1e-2]},
        "mixing_embed_dim": {"grid_search": [4, 8]},
        "evaluation_interval": 2,
    },
}
MUTATIONS = {"lr": {"loguniform": [1e-4, 1e-2]}, "gamma": {"uniform": [0.9, 1.0]}}
PBT = ASHA | {
    "scheduler": {
        "type": "pbt",
        "time_attr": "training_iteration",
        "perturbation_interval": 2,
        "hyperparam_mutations": MUTATIONS,
    },
    "stop": {"training_iteration": 8},
    "config": {**SETTINGS, **MUTATIONS},
}


def start(folder, experiment, *words):
    """The command in a session of its own."""
    (folder / "sweep.yaml").write_text(yaml.safe_dump({"sweep": experiment}))
    command = [sys.executable, "-m", "rllib_qatten", "train", "-f", "sweep.yaml"]
    return subprocess.Popen(
        [*command, "--storage-path", "out", *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


def none_is_left(session):
    """Whether a session's processes have ended; those of a killed Ray take up to a minute."""
    for _ in range(300):
        command = ["ps", "-s", str(session), "-o", "stat="]
        states = subprocess.run(command, capture_output=True, text=True).stdout.split()
        if all(state.startswith("Z") for state in states):  # ended, but nobody asked
            return True
        time.sleep(0.3)
    return False


def killed_and_restored(folder, experiment, lines):
    """Kills a sweep after some lines of its table and restores it; returns what that printed."""
    process = start(folder, experiment)
    try:
        seen = 0
        for line in process.stdout:
            seen += line.startswith("#")
            if seen == lines:
                break
        assert seen == lines, process.stderr.read()
        # Tune writes its state when it likes; this waits for the first.
        state = folder / "out" / "sweep"
        while not list(state.glob("experiment_state-*.json")):
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)  # with Ray's agents, which outlive a driver
        process.wait()
        assert none_is_left(process.pid)
        process = start(folder, experiment, "--restore")
        output, errors = process.communicate(timeout=280)
        assert process.returncode == 0, errors
        return output
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def trials(folder):
    """Of each trial all results, in order."""
    return [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted((folder / "out" / "sweep").glob("*/result.json"))
    ]


@pytest.mark.slow
def test_asha_is_killed_restored_and_finishes(tmp_path):
    output = killed_and_restored(tmp_path, ASHA, lines=3)
    found = trials(tmp_path)
    assert len(found) == 8
    last = [rows[-1]["training_iteration"] for rows in found]
    assert max(last) == 6
    # Judged at 2 and 4, where evaluations are.
    assert set(last) <= {2, 4, 6}
    for rows in found:
        iterations = [row["training_iteration"] for row in rows]
        assert set(iterations) == set(range(1, iterations[-1] + 1))
    table = output.split("Mean of the last greedy evaluations")[1]
    assert len([line for line in table.splitlines() if line.startswith("#")]) == 8
    [best] = [line for line in table.splitlines() if line.startswith("Best one kept:")]
    assert Path(best.split()[3]).is_dir()
    assert list((tmp_path / "out" / "sweep").glob("*/events.out.tfevents*"))
    for path in (tmp_path / "out" / "sweep").glob("*/progress.csv"):
        rows = list(csv.reader(path.open()))
        assert {len(row) for row in rows} == {len(rows[0])}


@pytest.mark.slow
def test_a_population_is_killed_restored_and_finishes(tmp_path):
    killed_and_restored(tmp_path, PBT, lines=12)
    found = trials(tmp_path)
    assert len(found) == 4
    assert [rows[-1]["training_iteration"] for rows in found] == [8] * 4
    mutated = 0
    for rows in found:
        mutated += len({row["config"]["lr"] for row in rows}) > 1
        for row in rows:
            # What the Learner really took its steps with.
            used = row["learners"]["default_policy"]["default_optimizer_learning_rate"]
            assert used == pytest.approx(row["config"]["lr"])
            assert 0.9 <= row["config"]["gamma"] <= 1.0
    assert mutated


def built(**settings):
    config = QMIXConfig().environment("two_step_game")
    return config.update_from_dict({**SETTINGS, "seed": 3, **settings}).build_algo()


def rate(algorithm):
    return algorithm.learner_group._learner.get_optimizer("default_policy").param_groups[0]["lr"]


def test_a_changed_learning_rate_goes_before_a_checkpoints(ray_session, tmp_path):
    first = built(lr=1e-3)
    first.train()
    first.save_to_path(tmp_path)
    second = built(lr=2e-5)
    second.restore_from_path(tmp_path)
    assert rate(second) == 2e-5
    second.train()
    assert rate(second) == 2e-5
    # A schedule goes on where it was.
    third = built(lr=[[0, 1.0], [1_000_000, 1e-5]])
    third.restore_from_path(tmp_path)
    assert rate(third) == 1e-3
    for algorithm in (first, second, third):
        algorithm.stop()


def numbers(algorithm):
    result = algorithm.train()
    keys = "training_iteration", "num_env_steps_sampled_lifetime", "num_updates_lifetime"
    learned = result["learners"]["default_policy"]
    return [result[key] for key in keys] + [learned["total_loss"], learned["q_tot_mean"]]


def test_a_process_used_again_is_as_good_as_new(ray_session):
    algorithm = built(lr=1e-3)
    wanted = [numbers(algorithm) for _ in range(2)]
    other = {**SETTINGS, "env": "matrix_game", "hidden_size": 16, "seed": 5}
    assert algorithm.reset(other)
    assert numbers(algorithm) != wanted[0]
    assert algorithm.reset({**SETTINGS, "env": "two_step_game", "lr": 1e-3, "seed": 3})
    assert [numbers(algorithm) for _ in range(2)] == wanted
    algorithm.stop()


@pytest.fixture
def short(tmp_path, monkeypatch):
    """One short trial with more keys in its experiment; returns its folder."""

    def run(**keys):
        monkeypatch.setenv("WANDB_MODE", "offline")
        file = tmp_path / "short.yaml"
        fields = {"run": "QMIX", "env": "two_step_game", "config": SETTINGS, **keys}
        file.write_text(yaml.safe_dump({"short": fields}))
        [experiment] = read(file, Changes(storage_path=str(tmp_path / "out")))
        plan, stop = check(experiment), Stopping({"training_iteration": 2})
        [result] = tuner(plan, stop=stop, callbacks=[], resume=None).fit()
        assert not result.error
        read_state(plan)  # --restore could read all that Tune wrote
        return Path(result.path)

    return run


@pytest.mark.slow
def test_wandb_offline(ray_session, short, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="extra wandb is not installed")
    monkeypatch.chdir(tmp_path)
    short(wandb={"project": "teams", "mode": "offline"})
    [log] = (tmp_path / "wandb").rglob("run-*.wandb")
    assert b"num_env_steps_sampled_lifetime" in log.read_bytes()


@pytest.mark.slow
def test_mlflow_in_a_database(ray_session, short, tmp_path):
    pytest.importorskip("mlflow", reason="extra mlflow is not installed")
    pytest.importorskip("sqlalchemy", reason="extra mlflow is not installed")
    from mlflow.tracking import MlflowClient

    place = f"sqlite:///{tmp_path / 'mlflow.db'}"
    folder = short(mlflow={"experiment_name": "teams", "tracking_uri": place})
    client = MlflowClient(tracking_uri=place)
    teams = client.get_experiment_by_name("teams")
    [run] = client.search_runs([teams.experiment_id])
    [*_, last] = client.get_metric_history(run.info.run_id, "num_env_steps_sampled_lifetime")
    assert last.value == 128
    rows = [json.loads(line) for line in (folder / "result.json").read_text().splitlines()]
    assert [row["num_env_steps_sampled_lifetime"] for row in rows] == [64, 128]


@pytest.mark.slow
def test_the_best_checkpoints_are_kept_by_score(ray_session, short):
    score = "evaluation/env_runners/episode_return_mean"
    kept = {"checkpoint_score_attribute": score, "num_to_keep": 1, "checkpoint_frequency": 1}
    folder = short(checkpoint_config=kept)
    rows = [json.loads(line) for line in (folder / "result.json").read_text().splitlines()]
    scores = [row["evaluation"]["env_runners"]["episode_return_mean"] for row in rows]
    kept = [scores[int(path.name[-6:])] for path in folder.glob("checkpoint_*")]
    # Tune keeps the newest besides, to go on from.
    assert len(kept) <= 2
    assert max(kept) == max(scores)
