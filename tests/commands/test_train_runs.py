"""`rllib train` in processes of its own."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rllib_qatten import QMIX
from tests.commands.games import GAME


@pytest.fixture
def rllib(tmp_path):
    """Starts the command in a session of its own; returns the process."""
    started = []

    def start(*words, text=GAME):
        (tmp_path / "exp.yaml").write_text(text)
        command = [sys.executable, "-m", "rllib_qatten", "train", *words]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def _steps(output):
    """The env steps of a table's lines."""
    rows = (re.match(r" +([\d,]+) ", line) for line in output)
    return [int(row[1].replace(",", "")) for row in rows if row]


def _await_none_of_session(session):
    """Ray's processes get a moment to end after the command has."""
    for _ in range(50):
        command = ["ps", "-s", str(session), "-o", "args="]
        left = subprocess.run(command, capture_output=True, text=True)
        if not left.stdout:
            return
        time.sleep(0.2)
    pytest.fail(f"still there: {left.stdout}")


@pytest.mark.slow
def test_a_failing_trial_says_why_and_where(rllib):
    text = GAME.replace("lr: 0.001", "lr: [[0, 0.001], [200, 0.001], [201, 1.0e30]]")
    text += "  checkpoint_config: {checkpoint_frequency: 1}\n"
    process = rllib("file", "exp.yaml", "--storage-path", "out", text=text)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert "Error: FloatingPointError: The loss became" in errors
    assert 'File "' not in errors
    for title in ("Last good checkpoint: ", "Traceback: "):
        [path] = re.findall(f"^{title}(.+)$", errors, re.MULTILINE)
        assert Path(path).exists()


@pytest.mark.slow
def test_evaluations_that_explore_are_not_called_greedy(rllib):
    text = f"{GAME}    evaluation_config: {{explore: true, epsilon: 1.0}}\n"
    process = rllib("-f", "exp.yaml", "--storage-path", "out", text=text)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "greedy" not in output
    assert "─exploring─── evalua." in output.splitlines()[0]
    assert "\nMean of the last evaluations, 5 at most:\n" in output
    assert re.search(r"env steps +evaluation return\n", output)
    assert re.search(r"Best one kept: .+ \(evaluation return -?\d+\.\d+\)", output)


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_is_a_users_mistake(ray_session, rllib, tmp_path):
    algorithm = QMIX.get_default_config().environment("two_step_game").build_algo()
    algorithm.save_to_path(tmp_path / "saved")
    algorithm.stop()
    # Another game of other shapes shows only when it is built.
    process = rllib("-f", "exp.yaml", "--storage-path", "out", "--resume", str(tmp_path / "saved"),
                    text=GAME.replace("two_step_game", "matrix_game"))  # fmt: skip
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2, errors
    assert "  env: 'two_step_game' in the checkpoint, 'matrix_game' here" in errors
    assert "CheckpointError: " in errors
    assert "agent.head.weight" in errors


@pytest.mark.slow
def test_ctrl_c_saves_and_resume_goes_on(rllib, tmp_path):
    process = rllib("-f", "exp.yaml", "--storage-path", "out", "--stop", "training_iteration=1000",
                    text=GAME.replace("3}", "999}"))  # fmt: skip
    for line in process.stdout:
        if _steps([line]):
            break
    # As the terminal does it: to the whole group, while an iteration runs.
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Stopping after this iteration" in errors
    [path] = re.findall(r"--resume (\S+)$", errors, re.MULTILINE)
    [last] = re.findall(r"^Last checkpoint: +(\S+)$", output, re.MULTILINE)
    assert path == last
    before = _steps(output.splitlines())[-1]
    _await_none_of_session(process.pid)

    process = rllib("-f", "exp.yaml", "--storage-path", "out", "--resume", path,
                    "--set", "lr=5e-4", "--stop", "iterations_since_restore=2",
                    text=GAME.replace("3}", "999}"))  # fmt: skip
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    trust, said, changed, began, summary = errors.splitlines()
    assert began == "Starting Ray ..."
    assert trust.startswith(f"rllib_qatten: {path}: continuing unpickles it")
    assert said == "Resumed with other settings:"
    assert changed == "  lr: 0.001 in the checkpoint, 0.0005 here"
    assert re.match(r"QMIX on TwoStepGame: 2 agents, .*; replay of \d+ games", summary)
    assert _steps(output.splitlines())[0] == before + 128
    [curves] = re.findall(r"^Curves: +(\S+)$", output, re.MULTILINE)
    with open(curves) as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    first = int(rows[0]["training_iteration"])
    assert first > 1
    assert int(rows[1]["training_iteration"]) == first + 1
    assert float(rows[0]["num_env_steps_sampled_lifetime"]) == before + 128
    assert json.loads(Path(curves).with_name("params.json").read_text())["lr"] == 0.0005
    record = json.loads(Path(curves).with_name("run.json").read_text())
    assert {"date", "commit", "versions", "machine"} <= record.keys()
    assert record["algorithm"] == "QMIX"
    assert (
        f"{record['command']}\n"
        == Path(curves).with_name("command.txt").read_text()
        == (
            "rllib train -f exp.yaml --stop iterations_since_restore=2 --set lr=5e-4 "
            f"--storage-path out --resume {path}\n"
        )
    )


@pytest.mark.slow
def test_with_json_standard_output_is_for_programs(rllib):
    text = GAME.replace("lr: 0.001", "lr: {grid_search: [0.001, 0.002]}")
    process = rllib("-f", "exp.yaml", "--storage-path", "out", "--progress", "json",
                    "--stop", "training_iteration=2", text=text)  # fmt: skip
    output, errors = process.communicate(timeout=250)
    assert process.returncode == 0, errors
    rows = [json.loads(line) for line in output.splitlines()]
    results, outcomes = rows[:-2], rows[-2:]
    assert {(row["trial"], row["training_iteration"]) for row in results} == {
        (f"#{trial} lr={lr}", iteration)
        for trial, lr in enumerate((0.001, 0.002))
        for iteration in (1, 2)
    }
    assert [row["status"] for row in outcomes] == ["TERMINATED", "TERMINATED"]
    for row in outcomes:
        assert Path(row["last_checkpoint"]).is_dir()
        assert Path(row["curves"]).is_file()
