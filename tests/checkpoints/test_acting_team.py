"""What a checkpoint says of the env that its team was trained in."""

import json

import numpy as np
import pytest

from rllib_qatten.checkpoints.acting_team import ROOM, as_text
from rllib_qatten.errors import BadInput
from rllib_qatten.evaluation.environment import make_games
from rllib_qatten.evaluation.team_policy import TeamPolicy
from tests.algorithms.test_every_algorithm import build
from tests.evaluation.teams import write_team
from tests.teams import ScriptedBattle

ENV = "tests.teams:ScriptedBattle"


@pytest.mark.parametrize(
    ("given", "kept", "lost"),
    [
        ({"limit": np.int64(4), "by": np.float32(0.5)}, {"limit": 4, "by": 0.5}, []),
        ({"grid": np.eye(2), "n": (1, 2)}, {"grid": [[1, 0], [0, 1]], "n": [1, 2]}, []),
        ({"map": {"n": np.arange(2), "name": "3m"}}, {"map": {"n": [0, 1], "name": "3m"}}, []),
        ({"limit": 4, "scale": {0: 1.0, 1: 5.0}}, {"limit": 4}, ["scale"]),
        ({"limit": 4, "kind": ScriptedBattle, "f": print}, {"limit": 4}, ["kind", "f"]),
        ({"whole": "a" * ROOM, "limit": 4}, {"limit": 4}, ["whole"]),
        ({3: 4}, {}, ["3"]),
    ],
)
def test_settings_come_back_as_they_were_or_are_named(given, kept, lost):
    assert as_text(given) == (kept, lost)


def test_the_env_keeps_its_name_and_what_is_text(ray_session, tmp_path):
    config = {"lengths": [np.int64(4)], "more": {0: 1}, "deaths": np.array([9])}
    algorithm = build("VDN", ENV, env_config=config, evaluation_interval=None)
    path = tmp_path / "checkpoint"
    algorithm.save_to_path(path)
    algorithm.stop()
    trained = json.loads((path / "team_policy" / "policy.json").read_text())["environment"]
    assert trained["env"] == ENV
    assert trained["env_config"] == {"lengths": [4], "deaths": [9]}
    assert trained["env_config_lost"] == ["more"]


def test_games_are_not_made_without_settings_that_were_lost(tmp_path):
    folder = write_team(tmp_path / "c", env_config={"lengths": [4]}, lost=["reward", "wins"])
    team = TeamPolicy.from_checkpoint(folder)
    with pytest.raises(BadInput, match=r"cannot hold reward, wins as text: .*env_config.reward="):
        make_games(team, 1, {}, ENV)
    with pytest.raises(BadInput, match=r"cannot hold wins as text"):
        make_games(team, 1, {"reward": 2.0}, ENV)
    games = make_games(team, 1, {"reward": 2.0, "wins": [False]}, ENV)
    assert games.envs[0].config | {"reward": 2.0, "lengths": [4]} == games.envs[0].config
