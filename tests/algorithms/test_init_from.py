"""Runs that begin with another run's agent network, and teams that play in other teams' games."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from ray.rllib.algorithms.algorithm import Algorithm
from ray.tune import Checkpoint
from ray.tune.registry import register_env
from typer.testing import CliRunner

from rllib_qatten import TeamPolicy
from rllib_qatten.__main__ import app
from rllib_qatten.checkpoints.other_team import initial_weights
from rllib_qatten.envs import make_teams
from rllib_qatten.errors import BadInput
from rllib_qatten.evaluation.evaluate import evaluate
from tests.algorithms import tiny as every
from tests.teams import Skirmish
from tests.training import test_rl_module as policy

pytestmark = pytest.mark.usefixtures("ray_session")
#: A file system that is not plainly this machine's.
ELSEWHERE = SubTreeFileSystem("/bucket", LocalFileSystem())


def build(name="QMIX", agent="entity", env_config=None, **settings):
    register_env("skirmish", Skirmish)
    return every.build(name, "skirmish", agent=agent, env_config=env_config or {}, **settings)


def of_agent(algorithm, prefix="agent."):
    state = every.weights(algorithm)
    return {n.removeprefix(prefix): w for n, w in state.items() if n.startswith(prefix)}


@pytest.fixture(scope="module")
def trained(ray_session, tmp_path_factory):
    """A checkpoint of three agents against two, and the weights of its agent network."""
    algorithm = build(layer_norm=True)
    algorithm.train()
    path = algorithm.save_to_path(tmp_path_factory.mktemp("trained") / "checkpoint")
    weights = of_agent(algorithm)
    algorithm.stop()
    return path, weights


@pytest.mark.parametrize("name", ["Qatten", "QTRAN"])
def test_a_larger_team_begins_as_a_smaller_one(name, trained, capfd):
    path, weights = trained
    armies = {"agents": 5, "enemies": 4}
    algorithm = build(name, env_config=armies, layer_norm=True, init_from=path)
    every.assert_equal(weights, of_agent(algorithm))
    every.assert_equal(weights, of_agent(algorithm, "target_agent."))
    runner = algorithm.env_runner.module.get_state()
    every.assert_equal(weights, {n.removeprefix("agent."): w for n, w in runner.items()})
    assert "begins as that of" not in capfd.readouterr().err
    algorithm.train()
    told = capfd.readouterr().err
    assert f"init_from: the agent network begins as that of {path} (QMIX on skirmish" in told
    assert "begins anew: mixer, optimizer" in told
    assert not np.array_equal(weights["head.weight"], of_agent(algorithm)["head.weight"])
    algorithm.stop()


def test_a_run_continues_from_its_own_checkpoint_even_if_the_other_is_gone(
    trained, tmp_path, capfd
):
    gone = tmp_path / "gone"
    shutil.copytree(trained[0], gone)
    algorithm = build(layer_norm=True, init_from=str(gone))
    algorithm.train()
    mine = algorithm.save_to_path(tmp_path / "mine")
    shutil.rmtree(gone)
    capfd.readouterr()
    restored = Algorithm.from_checkpoint(mine)
    every.assert_equal(every.weights(algorithm), every.weights(restored))
    for one in (algorithm, restored):
        one.train()
    every.assert_equal(every.weights(algorithm), every.weights(restored))
    assert "init_from" not in capfd.readouterr().err
    algorithm.stop()
    restored.stop()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"layer_norm": False}, "layer_norm is True there and False here"),
        ({"hidden_size": 8}, "hidden_size is 16 there and 8 here"),
        ({"agent": "recurrent"}, "agent is entity there and recurrent here"),
        ({"parameter_sharing": "none"}, "parameter_sharing is all there and none here"),
        ({"env_config": {"numbers": 4}}, "a row of teammates holds 3 numbers there and 4 here"),
        ({"init_from": "no/such/folder"}, "no such folder"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(settings, says, trained):
    given = {"layer_norm": True, "hidden_size": 16, "agent": "entity"} | settings
    spec = make_teams("skirmish", given.pop("env_config", {}), 1).spec
    checkpoint = given.pop("init_from", trained[0])
    module = policy.build("QMIX", spec, **given)
    with pytest.raises(BadInput, match=says):
        initial_weights(checkpoint, module.layout, module.agent_settings, spec)


def test_nothing_is_played_or_saved_with_other_weights_than_those_asked_for(trained, tmp_path):
    algorithm = build(layer_norm=False, init_from=trained[0])
    path = tmp_path / "checkpoint"
    for act in (
        algorithm.train,
        algorithm.evaluate,
        lambda: algorithm.save_to_path(path),
        lambda: algorithm.save(str(path)),
        algorithm.train,
    ):
        with pytest.raises(BadInput, match="layer_norm is True there and False here"):
            act()
    assert not any(found.is_file() for found in tmp_path.rglob("*"))
    algorithm.stop()


@pytest.mark.parametrize("kind", [str, Path, Checkpoint])
def test_every_way_to_name_a_checkpoint(kind, trained, monkeypatch, tmp_path):
    """Relative paths are the user's: Tune runs trials in folders of their own."""
    path = Path(trained[0])
    monkeypatch.setenv("TUNE_ORIG_WORKING_DIR", str(path.parents[1]))
    monkeypatch.chdir(tmp_path)
    given = kind(path if kind is Checkpoint else path.relative_to(path.parents[1]))
    algorithm = build(layer_norm=True, init_from=given, seed=7)
    every.assert_equal(trained[1], of_agent(algorithm))
    algorithm.stop()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (7, "init_from: expected the folder of a checkpoint, got 7: give a path"),
        (Checkpoint("x", ELSEWHERE), r"init_from: .* on another machine: give what its to_direct"),
    ],
)
def test_what_is_no_place_on_this_machine_is_refused(given, says):
    with pytest.raises(ValueError, match=says):
        build(init_from=given)


def test_other_agents_begin_only_from_teams_of_their_sizes(tmp_path):
    algorithm = build(agent="recurrent")
    path = algorithm.save_to_path(tmp_path / "recurrent")
    same = build(agent="recurrent", init_from=path, seed=7)
    every.assert_equal(of_agent(algorithm), of_agent(same))
    other = build(agent="recurrent", init_from=path, env_config={"agents": 4})
    with pytest.raises(BadInput, match=r"it has 3 agents.*only agent: entity begins from"):
        other.train()
    with pytest.raises(BadInput, match="Only agent: entity plays in teams of other sizes"):
        TeamPolicy.from_checkpoint(path).fitted(other.spec)
    for one in (algorithm, same, other):
        one.stop()


def test_a_trained_team_plays_other_battles(trained):
    team = TeamPolicy.from_checkpoint(trained[0])
    games = make_teams("skirmish", {"agents": 6, "enemies": 5, "limit": 9}, 2)
    found = evaluate(team, games, episodes=4)
    assert found.survival.shape == (6,)
    player = team.fitted(games.spec)
    assert player.agents == games.spec.agents
    assert team.fitted(make_teams("skirmish", {}, 1).spec) is team
    # One agent alone acts as it does in its team, in the other battle as well.
    view = games.reset(0)
    joint = player.act(view.observations, view.legal_actions)
    alone = player.agent("unit_5").act(view.observations[:, 5], view.legal_actions[:, 5])
    assert (alone == joint[:, 5]).all()


@pytest.mark.parametrize(
    ("env_config", "says"),
    [
        ({"declares": False}, "this env does not say how its observations are made of units"),
        ({"numbers": 2}, "a row of enemies holds 3 numbers there and 2 here"),
    ],
)
def test_battles_that_look_different_are_refused(env_config, says, trained):
    spec = make_teams("skirmish", {"agents": 4} | env_config, 1).spec
    with pytest.raises(BadInput, match=f"the team cannot play here: .*{says}"):
        TeamPolicy.from_checkpoint(trained[0]).fitted(spec)


def test_separate_networks_stay_with_their_agents(tmp_path):
    algorithm = build(parameter_sharing="none")
    path = algorithm.save_to_path(tmp_path / "separate")
    spec = make_teams("skirmish", {"agents": 4}, 1).spec
    with pytest.raises(BadInput, match="parameter_sharing none it has a network for each agent"):
        TeamPolicy.from_checkpoint(path).fitted(spec)
    more = make_teams("skirmish", {"enemies": 4}, 1)
    evaluate(TeamPolicy.from_checkpoint(path), more, episodes=2)
    algorithm.stop()


def test_evaluate_plays_another_battle_and_says_so(trained, tmp_path):
    def rllib(*words):
        words = ["evaluate", trained[0], "--env", "skirmish", "--episodes", 3, *words]
        return CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "200"})

    file = tmp_path / "results.json"
    other = rllib("--set", "env_config.agents=5", "--set", "env_config.enemies=3", "--json", file)
    assert other.exit_code == 0, other.output
    assert "Trained with 3 agents on skirmish: its agent network plays another" in other.output
    assert len(json.loads(file.read_text())["agents"]) == 5
    same = rllib()
    assert same.exit_code == 0
    assert "another battle" not in same.output
    refused = rllib("--set", "env_config.numbers=5")
    assert refused.exit_code == 2
    assert "a row of teammates holds 3 numbers there and 5 here" in refused.output
    assert "Traceback" not in refused.output
