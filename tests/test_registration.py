"""`import rllib_qatten` registers with Tune, whatever is imported first."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rllib_qatten
from rllib_qatten import QMIX, register_algorithm
from rllib_qatten.__main__ import app
from rllib_qatten.algorithms import registry
from rllib_qatten.algorithms.resolve import algorithm_class
from rllib_qatten.checkpoints.folder import CheckpointError
from rllib_qatten.envs import ENVS
from rllib_qatten.errors import BadInput

LOOK_UP = """
from ray.tune.registry import ENV_CREATOR, _global_registry, get_trainable_cls
assert get_trainable_cls("Qatten").__module__ == "rllib_qatten.algorithms.qatten"
env = _global_registry.get(ENV_CREATOR, "matrix_game")({})
assert type(env).__name__ == "MatrixGame", env
"""


@pytest.mark.parametrize(
    "first",
    [
        "import rllib_qatten; from ray import tune",
        pytest.param("import ray.rllib.algorithms; import rllib_qatten", marks=pytest.mark.slow),
        pytest.param(
            "from rllib_qatten.rollout.env_runner import TeamEnvRunner", marks=pytest.mark.slow
        ),
    ],
)
def test_tune_knows_our_names(first):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", first + LOOK_UP]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_the_names_are_all_there():
    ours = set(rllib_qatten.ALGORITHMS)
    names = {name.removesuffix("Config") for name in rllib_qatten.__all__ if "Config" in name}
    assert names == ours
    assert set(rllib_qatten._ENVS) == set(ENVS)
    assert set(rllib_qatten.__all__) <= set(dir(rllib_qatten))
    for name in rllib_qatten.__all__:
        assert getattr(rllib_qatten, name)
    with pytest.raises(AttributeError, match="'rllib_qatten' has no attribute 'Qaten'"):
        rllib_qatten.Qaten  # noqa: B018 - looking it up is what fails


def test_a_name_is_taken_once():
    with pytest.raises(BadInput, match=r"an algorithm named QMIX already.*algorithms.qmix:QMIX"):
        register_algorithm("elsewhere.module:QMIX")
    with pytest.raises(BadInput, match="not an algorithm's path: write my_package"):
        register_algorithm("QMIX")
    with pytest.raises(BadInput, match=r"Other processes cannot import .*<locals>\.MyQ: define"):
        register_algorithm(type("MyQ", (QMIX,), {"__qualname__": "made.<locals>.MyQ"}))
    assert register_algorithm(QMIX) is QMIX  # the same again


def test_a_run_is_a_name_or_a_path():
    assert algorithm_class("QMIX") is algorithm_class("rllib_qatten.algorithms.qmix:QMIX") is QMIX
    assert algorithm_class("PPO").__name__ == "PPO"
    with pytest.raises(ValueError, match=r"Unknown algorithm \(your own: its path.*'QMIX'"):
        algorithm_class("QMIXX")
    with pytest.raises(ValueError, match="is not an algorithm: name a subclass of RLlib's"):
        algorithm_class("rllib_qatten.mixers:QMixer")


OUTSIDE = Path(__file__).parent / "outside"


@pytest.mark.slow
def test_an_algorithm_from_outside_passes_the_registrys_tests():
    """Two files and one line: the tests that run over the registry run over it too."""
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "SoftMax"),
        *(
            "-p",
            "soft_max.registered",
            "tests/algorithms/test_config.py",
            "tests/algorithms/test_every_algorithm.py",
        ),
        *("tests/training/test_rl_module.py", "tests/training/test_losses.py"),
    ]
    root = Path(__file__).parents[1]
    paths = os.pathsep.join([str(root), str(OUTSIDE)])
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=280,
        env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    passed = int(re.search(r"(\d+) passed", done.stdout)[1])
    assert passed >= 15, done.stdout


def test_an_entry_point_is_enough(monkeypatch, capsys):
    """An installed package needs no call."""
    found = [
        importlib.metadata.EntryPoint("SoftMaxQ", "soft_max.algorithm:SoftMaxQ", registry.GROUP),
        importlib.metadata.EntryPoint("Other", "soft_max.algorithm:SoftMaxQ", registry.GROUP),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found)
    monkeypatch.syspath_prepend(OUTSIDE)
    fresh = registry._Registry()
    assert list(fresh) == ["SoftMaxQ"]
    assert fresh["SoftMaxQ"].config_class.__name__ == "SoftMaxQConfig"
    assert "Entry point Other" in capsys.readouterr().err


SAVE = """
import sys
from soft_max.algorithm import SoftMaxQ, SoftMaxQConfig
config = SoftMaxQConfig().environment("two_step_game").env_runners(num_env_runners=0)
config.evaluation(evaluation_interval=None)
algorithm = config.training(hidden_size=8, train_batch_size_episodes=4).build_algo()
algorithm.train()
algorithm.save_to_path(sys.argv[1])
algorithm.stop()
"""


@pytest.mark.slow
def test_a_checkpoint_of_an_algorithm_from_outside(tmp_path):
    checkpoint = tmp_path / "checkpoint"
    paths = os.pathsep.join([str(Path(__file__).parents[1]), str(OUTSIDE)])
    there = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": paths}, "text": True}
    subprocess.run([sys.executable, "-c", SAVE, checkpoint], check=True, **there)
    with pytest.raises(CheckpointError, match="needs the module 'soft_max', which cannot be"):
        QMIX.from_checkpoint(checkpoint)
    words = ["attention", str(checkpoint), "--output", str(tmp_path / "weights")]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert "rllib attention --run my_module:SoftMaxQ" in " ".join(refused.output.split())
    words += ["--run", "soft_max.algorithm:SoftMaxQ"]
    command = [sys.executable, "-m", "rllib_qatten", *words]
    done = subprocess.run(command, capture_output=True, **there)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "weights" / "game_1.npz").exists()
