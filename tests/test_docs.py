"""The pages under docs: their code runs as it stands there."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from rllib_qatten import QMIXConfig
from rllib_qatten.agents import Entities
from rllib_qatten.envs import ENVS, make_teams
from rllib_qatten.envs.import_path import load_attribute
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.checks import check
from rllib_qatten.experiment.file import read

ROOT = Path(__file__).parents[1]
OWN_ENV = (ROOT / "docs" / "your_own_env.md").read_text()
EXTENDING = (ROOT / "docs" / "extending.md").read_text()


def blocks(language, text=OWN_ENV):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """The current folder, with the page's env and experiment in it as its reader saves them."""
    (tmp_path / "my_env.py").write_text(blocks("python")[0])
    (tmp_path / "meeting.yaml").write_text(blocks("yaml")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_env", None)


@pytest.mark.slow
def test_it_trains_here_and_in_rays_workers(own_folder):
    # -P: as for the console script, the current folder is not in Python's path.
    command = [
        *(sys.executable, "-P", "-m", "rllib_qatten", "train", "-f", "meeting.yaml"),
        *("--storage-path", "out", "--set", "num_env_runners=1", "--set", "env_config.cells=5"),
    ]
    done = subprocess.run(
        command, cwd=own_folder, capture_output=True, text=True, timeout=250,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "QMIX on Meeting: 2 agents, 3 actions, state from the env" in done.stderr
    [curves] = own_folder.glob("out/meeting/*/progress.csv")
    assert len(curves.read_text().splitlines()) == 1 + 2
    [parameters] = own_folder.glob("out/meeting/*/params.json")
    assert json.loads(parameters.read_text())["env_config"] == {"cells": 5}


def test_it_keeps_the_contract(own_folder):
    [command] = [block for block in blocks("bash") if block.startswith("python -c")]
    exec(re.fullmatch(r'python -c "(.*)"\n', command)[1], {})


def test_a_fault_is_found_before_ray_starts(own_folder):
    (own_folder / "my_env.py").write_text(blocks("python")[0].replace("float(met))", "None)"))
    with pytest.raises(BadInput, match=r"Meeting is not a team.*\n.*'left' got the reward None"):
        check(read(own_folder / "meeting.yaml")[0])


def test_in_python(own_folder):
    [line] = re.findall(r"In Python, pass the class itself: `(.*)`", OWN_ENV)
    config = eval(line, {"QMIXConfig": QMIXConfig, "Meeting": load_attribute("my_env:Meeting")})
    assert make_teams(config.env, config.env_config, 1).spec.observation_size == 7


def test_snippets_of_yaml_name_envs_that_exist():
    for text in blocks("yaml")[1:]:
        assert yaml.safe_load(text)["env"] in ENVS


def test_the_declared_units_are_without_fault():
    body = blocks("python")[1].partition("\n")[2]
    found = {}
    exec(textwrap.dedent(body), found)
    entities = Entities.read(found["entities"])
    assert not list(entities.faults(observation_size=4 + 3 + 3 * 2, n_agents=2, n_actions=8))


def test_the_mixer_of_the_recipes_trains(ray_session, tmp_path, monkeypatch):
    mixer, callback = blocks("python", EXTENDING)
    (tmp_path / "my_q.py").write_text(mixer)
    monkeypatch.syspath_prepend(tmp_path)
    found = {}
    exec(callback, found)
    try:
        config = load_attribute("my_q:SoftMaxQ").get_default_config()
        config.environment("two_step_game").training(sharpness=1.0).callbacks(found["Lengths"])
        config.env_runners(num_env_runners=0).reporting(min_sample_timesteps_per_iteration=100)
        algorithm = config.build_algo()
        result = algorithm.train()
        assert result["learners"]["default_policy"]["total_loss"] > 0
        assert result["env_runners"]["longest"] == 2
        algorithm.stop()
    finally:
        sys.modules.pop("my_q", None)
