"""The pages under docs: their code runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
OWN_ENV = (ROOT / "docs" / "your_own_env.md").read_text()


def blocks(language, text=OWN_ENV):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def own_folder(tmp_path):
    """A folder with the page's env and experiment, as its reader saves them."""
    (tmp_path / "my_env.py").write_text(blocks("python")[0])
    (tmp_path / "meeting.yaml").write_text(blocks("yaml")[0])
    return tmp_path


def run(folder, *words):
    """Runs Python as the console script does, without the current folder in its path."""
    return subprocess.run(
        [sys.executable, "-P", *words], cwd=folder, capture_output=True, text=True, timeout=250,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_your_own_env_trains_here_and_in_rays_workers(own_folder):
    words = ["-m", "rllib_qatten", "train", "-f", "meeting.yaml", "--storage-path", "out"]
    done = run(own_folder, *words, "--set", "num_env_runners=1", "--set", "env_config.cells=5")
    assert done.returncode == 0, done.stderr
    assert "QMIX on Meeting: 2 agents, 3 actions, state from the env" in done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if re.match(r" +[\d,]+ ", line)]
    assert len(rows) >= 2
    [curves] = own_folder.glob("out/meeting/*/progress.csv")
    assert len(curves.read_text().splitlines()) == 1 + 2


def test_a_fault_in_your_own_env_is_found_before_ray_starts(own_folder):
    (own_folder / "my_env.py").write_text(blocks("python")[0].replace("float(met))", "None)"))
    words = ["-m", "rllib_qatten", "train", "-f", "meeting.yaml", "--storage-path", "out"]
    done = run(own_folder, *words)
    assert done.returncode == 2
    assert "meeting.config.env_config: Meeting is no team environment" in done.stderr
    assert "agent 'left' got the reward None" in done.stderr
    assert not (own_folder / "out").exists()


def test_the_env_on_the_page_keeps_the_contract(own_folder):
    [check] = [b for b in blocks("bash") if b.startswith("python -c")]
    code = re.fullmatch(r'python -c "(.*)"\n', check)[1]
    done = run(own_folder, "-c", f"import sys; sys.path.insert(0, ''); {code}")
    assert done.returncode == 0, done.stderr


def test_snippets_of_yaml_name_envs_that_exist():
    from rllib_qatten.envs import ENVS

    for text in blocks("yaml")[1:]:
        assert yaml.safe_load(text)["env"] in ENVS
