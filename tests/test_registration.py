"""`import rllib_qatten` registers with Tune, whatever is imported first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rllib_qatten
from rllib_qatten.envs import ENVS

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
        "import ray.rllib.algorithms; import rllib_qatten",
        "from rllib_qatten.rollout.env_runner import TeamEnvRunner",
    ],
)
def test_tune_knows_our_names(first):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", first + LOOK_UP]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_the_names_are_all_there():
    homes = rllib_qatten._HOMES
    assert {n for n in homes if f"{n}Config" in homes} == set(rllib_qatten.ALGORITHMS)
    assert set(rllib_qatten._ENVS) == set(ENVS)
    assert {*homes, "__version__"} == set(rllib_qatten.__all__) <= set(dir(rllib_qatten))
    for name in homes:
        assert getattr(rllib_qatten, name)
    with pytest.raises(AttributeError, match="'rllib_qatten' has no attribute 'Qaten'"):
        rllib_qatten.Qaten  # noqa: B018 - looking it up is what fails
