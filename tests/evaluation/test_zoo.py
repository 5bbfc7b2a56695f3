"""Trained teams that come with the package: zoo:NAME wherever the path of a checkpoint goes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rllib_qatten import QMIX, AgentPolicy, Qatten, TeamPolicy
from rllib_qatten.__main__ import app
from rllib_qatten.agents import InputLayout
from rllib_qatten.checkpoints import location, team_files, zoo
from rllib_qatten.checkpoints.folder import CheckpointError
from rllib_qatten.errors import BadInput
from rllib_qatten.evaluation.environment import make_games
from rllib_qatten.evaluation.evaluate import evaluate
from rllib_qatten.evaluation.mixer_weights import load_module
from rllib_qatten.evaluation.zoo import entries, entry

NAMES = sorted(zoo.teams())
SHAPES = {"observations": (3, 75), "mask": (3, 8)}  # of SMAX's 3m
needs_smax = pytest.mark.usefixtures("smax")


@pytest.fixture
def smax():
    pytest.importorskip("jaxmarl", reason="the extra smax is not installed")


def rllib(*words):
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "80"})


@pytest.fixture
def other_zoo(tmp_path, monkeypatch):
    """A zoo of one's own, empty; a function that adds a changed copy of qatten_3m."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    source = zoo.teams()["qatten_3m"]

    def add(name, environment=None, about=None):
        shutil.copytree(source, folder / name)
        network, metadata = team_files.read(source)
        made = {key: metadata[key] for key in ("rllib_qatten", "algorithm", "environment")}
        made["environment"] |= environment or {}
        made["agents"] = metadata["agents"]
        files = team_files.files(
            network.network.state_dict(), InputLayout(**metadata["inputs"]), metadata["agent"],
            made, team_files.read_mixer(source),
        )  # fmt: skip
        for file, content in files.items():
            (folder / name / file).write_bytes(content)
        known = json.loads((folder / name / zoo.ABOUT).read_text())
        known["training"] |= about or {}
        (folder / name / zoo.ABOUT).write_text(json.dumps(known))

    monkeypatch.setattr(zoo, "FOLDERS", (folder,))
    return add


def test_there_are_teams():
    assert "qatten_3m" in NAMES
    assert zoo.FOLDERS[1] == Path(__file__).parents[2] / "zoo"


@pytest.mark.parametrize("name", NAMES)
def test_a_team_is_small_and_plain_and_says_where_it_is_from(name):
    found = entry(zoo.teams()[name])
    files = {file.name for file in found.folder.iterdir()}
    known = {zoo.ABOUT, team_files.METADATA, team_files.WEIGHTS, team_files.MIXER_WEIGHTS}
    assert files == known
    assert found.size < 2_000_000
    assert found.evaluation["games"] >= 500
    assert found.evaluation["engine"] == found.policy["environment"]["engine"]
    assert found.policy["environment"]["env_config"]["engine"] == "smax"
    for record in (found.evaluation, found.training):
        assert record["command"].startswith(("rllib train", "python -m study team"))
        assert {"date", "commit", "versions", "machine"} <= record.keys()
    text = (found.folder / zoo.ABOUT).read_text()
    for place in ("/tmp", "/home", "/root", "/work"):
        assert place not in text


@pytest.mark.parametrize("name", NAMES)
def test_a_team_acts_and_its_mixer_can_be_built(name):
    team = TeamPolicy.from_checkpoint(f"zoo:{name}")
    layout = team.network.layout
    seen = np.zeros((layout.n_agents, layout.observation_size))
    legal = np.ones((layout.n_agents, layout.n_actions))
    assert team.act(seen, legal).shape == (layout.n_agents,)
    assert load_module(location.find(f"zoo:{name}")).mixer is not None


def test_one_agent_acts_alone():
    agent = AgentPolicy.from_checkpoint("zoo:qatten_3m", agent="ally_1")
    team = TeamPolicy.from_checkpoint(Path("zoo:qatten_3m"))
    seen = np.random.default_rng(1).random(SHAPES["observations"])
    actions = team.act(seen, np.ones(SHAPES["mask"]))
    assert agent.act(seen[1], np.ones(8)) == actions[1]


def test_the_table_fits_eighty_columns(other_zoo):
    other_zoo("qatten_smacv2_20_units", {"env_config": {"map_name": "smacv2_20_units"}})
    other_zoo(
        "qmix_3s5z_vs_3s6z", {"env_config": {"map_name": "3s5z_vs_3s6z"}}, {"env_steps": None}
    )
    result = rllib("zoo")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 80
    [row] = [line for line in lines if line.startswith("qatten_smacv2_20_units")]
    found = entry(zoo.teams()["qatten_smacv2_20_units"])
    share = found.evaluation["won"] / found.evaluation["games"]
    low, high = (f"{end:.2f}"[1:] for end in (found.win_rate.low, found.win_rate.high))
    assert row.split() == [
        found.name, "smacv2_20_units", "Qatten", "recurrent", f"{share:.3f}",
        f"{low}-{high}", "0.7M", f"{found.size / 1e6:.1f}",
    ]  # fmt: skip
    assert " - " in next(line for line in lines if line.startswith("qmix_3s5z_vs_3s6z"))
    assert "rllib evaluate zoo:q" in result.output


def test_the_table_cuts_no_name():
    result = rllib("zoo")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.output.splitlines()]
    assert max(map(len, result.output.splitlines())) <= 80
    for team in entries():
        assert [team.name, team.battle] in [row[:2] for row in rows]


def test_an_installation_without_teams_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "FOLDERS", (tmp_path / "none",))
    assert "no trained teams" in rllib("zoo").output
    assert "This installation has none." in rllib("evaluate", "zoo:qatten_3m").output
    assert entries() == []


def test_a_damaged_entry_is_named(other_zoo):
    other_zoo("broken")
    (zoo.teams()["broken"] / zoo.ABOUT).write_text("{")
    result = rllib("zoo")
    assert result.exit_code == 2
    assert "broken: is not a team of the zoo" in result.output.replace("\n", " ")


@pytest.mark.parametrize("command", ["evaluate", "export", "attention"])
def test_an_unknown_name_gets_the_nearest(command):
    result = rllib(command, "zoo:qaten_3m")
    assert result.exit_code == 2
    text = " ".join(result.output.split())
    assert "Unknown team of the zoo: 'qaten_3m'. Did you mean 'qatten_3m'" in text
    assert "`rllib zoo` lists all." in text
    with pytest.raises(BadInput, match="Did you mean 'qatten_3m'"):
        TeamPolicy.from_checkpoint("zoo:qaten_3m")


@pytest.mark.parametrize("near", ["qatten_3m", "somewhere/qatten_3m", "ZOO:qatten_3m"])
def test_a_name_without_its_prefix_gets_it(near):
    result = rllib("evaluate", near)
    assert result.exit_code == 2
    assert f"{near}: no such folder. Did you mean zoo:qatten_3m?" in result.output


def test_training_cannot_continue_from_a_team(tmp_path):
    for refused in (Qatten.from_checkpoint, QMIX.from_checkpoint):
        with pytest.raises(CheckpointError, match="init_from=zoo:qatten_3m"):
            refused("zoo:qatten_3m")
    words = ("--resume", "zoo:qatten_3m", "--storage-path", tmp_path)
    result = rllib("train", "--run", "Qatten", "--env", "two_step_game", *words)
    assert result.exit_code == 2
    assert "--set init_from=zoo:qatten_3m" in " ".join(result.output.split())
    assert not list(tmp_path.iterdir())


@needs_smax
def test_a_run_begins_with_a_team_or_says_why_not(tmp_path):
    words = ["train", "-f", "qatten_3m", "--dry-run", "--storage-path", tmp_path]
    words += ["--set", "env_config.engine=smax", "--set", "agent=recurrent", "--set"]
    words += ["layer_norm=true", "--set"]  # as that team's network
    of_its_size = "init_from=zoo:qatten_3m", "--set", "hidden_size=128"
    fits = rllib(*words, *of_its_size)
    assert fits.exit_code == 0, fits.output
    for begin, why in (
        (("init_from=zoo:qaten_3m",), "Did you mean 'qatten_3m'"),
        (("init_from=zoo:qatten_3m",), "hidden_size is 128 there and 64"),
        ((*of_its_size, "--set", "env_config.map_name=8m"), "it has 3 agents"),
    ):
        result = rllib(*words, *begin)
        assert result.exit_code == 2
        assert why in " ".join(result.output.split())


@needs_smax
def test_evaluate_states_what_the_team_promises_and_refuses_other_teams(other_zoo, tmp_path):
    other_zoo("small", {"num_games": 8})
    played = rllib("evaluate", "zoo:small", "--episodes", 8, "--json", tmp_path / "games.json")
    assert played.exit_code == 0, played.output
    assert entry(zoo.teams()["small"]).statement() in played.output
    assert "not comparable" not in played.output
    assert json.loads((tmp_path / "games.json").read_text())["checkpoint"] == "zoo:small"
    same = rllib("evaluate", "zoo:small", "--episodes", 8, "--set", "env_config.map_name=3m_vs_3m")
    assert "Qatten on smac 3m, smax" in same.output
    assert "another battle" not in same.output
    assert entry(zoo.teams()["small"]).statement() in same.output
    # Of the same sizes.
    other = rllib("evaluate", "zoo:small", "--episodes", 2, "--set", "env_config.map_name=3z")
    assert "Trained with 3 agents on smac 3m: its agent network plays another" in other.output
    assert "states" not in other.output
    refused = rllib("evaluate", "zoo:small", "--set", "env_config.map_name=8m")
    assert refused.exit_code == 2
    text = " ".join(refused.output.split())
    assert "trained with 3 agents" in text
    assert "Only agent: entity plays in teams of other sizes." in text


@needs_smax
def test_another_version_of_the_engine_is_named(other_zoo):
    other_zoo("older", {"engine": "smax (jaxmarl 0.1.0)", "num_games": 8})
    played = rllib("evaluate", "zoo:older", "--episodes", 8)
    assert played.exit_code == 0, played.output
    assert "Trained on smax (jaxmarl 0.1.0): not comparable." in played.output
    refused = rllib("evaluate", "zoo:older", "--set", "env_config.map_name=8m")
    text = " ".join(refused.output.split())
    assert "(smax (jaxmarl 0.2.0), not smax (jaxmarl 0.1.0), where it was trained)" in text


@pytest.mark.slow
@needs_smax
@pytest.mark.parametrize("name", NAMES)
def test_a_team_wins_as_often_as_it_states(name):
    """Other games than those of its statement: their intervals overlap."""
    team = TeamPolicy.from_checkpoint(f"zoo:{name}")
    stated = entry(zoo.teams()[name]).win_rate
    games = make_games(team, 200, {})
    found = evaluate(team, games, 200, seed=12345).win_rate
    games.close()
    assert found.low <= stated.high
    assert stated.low <= found.high
