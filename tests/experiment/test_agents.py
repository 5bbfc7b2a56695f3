"""Agents in an experiment's file: what does not fit the env or the other run, before Ray starts."""

import pytest
import yaml

from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.checks import check
from rllib_qatten.experiment.file import read
from tests.evaluation.teams import write_team


def checked(folder, env, continues=False, **config):
    file = folder / "experiment.yaml"
    content = {"run": "QMIX", "env": env, "config": config, "storage_path": str(folder / "out")}
    file.write_text(yaml.safe_dump({"trial": content}))
    return check(read(file)[0], continues)


def test_units_as_sets_need_an_env_that_declares_them(tmp_path):
    says = r"trial.config.agent: agent: entity sees units as a set, and this env does not say"
    with pytest.raises(BadInput, match=says):
        checked(tmp_path, "two_step_game", agent="entity")
    assert checked(tmp_path, "tests.teams:Skirmish", agent="entity")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"init_from": "no/such"}, "no such folder"),
        ({"init_from": 7}, "must be text; got 7"),
        ({"agent": "entity"}, "agent is recurrent there and entity here"),
        ({"hidden_size": 9}, "hidden_size is 8 there and 9 here"),
        ({}, "3 agents, observations of length 14, 4 actions.*here there are 4 agents"),
    ],
)
def test_a_run_cannot_begin_as_any_other(config, says, tmp_path):
    given = {"init_from": str(write_team(tmp_path / "other", sizes=(14, 4, 3)))}
    given |= {"hidden_size": 8, "env_config": {"agents": 4}} | config
    with pytest.raises(BadInput, match=r"trial.config.init_from.*" + says):
        checked(tmp_path, "tests.teams:Skirmish", **given)


def test_where_a_run_began_does_not_matter_to_its_continuation(tmp_path):
    with pytest.raises(BadInput, match="no such folder"):
        checked(tmp_path, "two_step_game", init_from="gone")
    assert checked(tmp_path, "two_step_game", continues=True, init_from="gone")


def test_a_team_may_begin_as_one_of_its_size(tmp_path):
    other = write_team(tmp_path / "other", sizes=(14, 4, 3))
    assert checked(tmp_path, "tests.teams:Skirmish", init_from=str(other), hidden_size=8)
