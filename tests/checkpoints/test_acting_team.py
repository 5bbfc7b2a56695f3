"""What a checkpoint says of the env that its team was trained in."""

import json

import numpy as np
import pytest
import torch

from rllib_qatten import ALGORITHMS
from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.checkpoints import team_files
from rllib_qatten.checkpoints.acting_team import ROOM, as_text
from rllib_qatten.errors import BadInput
from rllib_qatten.evaluation.environment import make_games
from rllib_qatten.evaluation.mixer_weights import load_module
from rllib_qatten.evaluation.team_policy import TeamPolicy
from rllib_qatten.mixers import Mixed, Mixer
from rllib_qatten.training.rl_module import ValueDecompositionRLModule
from tests.algorithms.tiny import build
from tests.evaluation.teams import write_team
from tests.teams import ScriptedBattle

ENV = "tests.teams:ScriptedBattle"


class ShapedMixer(Mixer):
    """An option of any kind."""

    def __init__(self, n_agents, state_dim, unit_dim=0, *, layers: list | None = None):
        super().__init__(n_agents, state_dim, unit_dim)
        sizes = layers if layers in ([2, 3], (2, 3)) else [4]
        self.value = torch.nn.ModuleList(torch.nn.Linear(state_dim, size) for size in sizes)

    def mix(self, rows):
        values = [value(rows.state).sum(-1) for value in self.value]
        return Mixed(rows.utilities.sum(-1) + sum(values))


class ShapedPolicy(ValueDecompositionRLModule):
    mixer_class = ShapedMixer


class ShapedConfig(ValueDecompositionConfig):
    rl_module_class = ShapedPolicy


class Shaped(ValueDecomposition):
    config_class = ShapedConfig


@pytest.fixture
def shaped(ray_session, tmp_path, monkeypatch):
    """Saves an algorithm whose mixer has such an option."""
    monkeypatch.setitem(ALGORITHMS._registered, "Shaped", Shaped)

    def save(layers):
        algorithm = build("Shaped", ENV, layers=layers, evaluation_interval=None)
        path = algorithm.save_to_path(tmp_path / "checkpoint")
        weights = algorithm.learner_group.get_weights()["default_policy"]
        algorithm.stop()
        return path, {name: weight for name, weight in weights.items() if "value" in name}

    return save


def nested(depth):
    return [nested(depth - 1)] if depth else 1


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
        ({"many": [[1] * ROOM], "limit": 4}, {"limit": 4}, ["many"]),
        ({"deep": nested(46), "deeper": nested(47)}, {"deep": nested(46)}, ["deeper"]),
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


@pytest.mark.parametrize(
    "layers",
    [[2, 3], (2, 3), {"first": {"size": 2}, "more": [None, 0.5]}, nested(46), "x" * 2000, None],
)
def test_a_mixers_options_are_lists_mappings_and_long_texts_too(shaped, layers):
    path, weights = shaped(layers)
    assert TeamPolicy.from_checkpoint(path).agents == ("unit_0", "unit_1")
    read = load_module(path).mixer.state_dict()
    assert {f"mixer.{name}" for name in read} <= weights.keys()
    for name, weight in read.items():
        np.testing.assert_array_equal(weights[f"mixer.{name}"], weight)
    options = team_files.read_mixer(path).about["options"]
    assert options == {"layers": list(layers) if isinstance(layers, tuple) else layers}


@pytest.mark.parametrize("layers", [object, {0: 2}, nested(60), "x" * ROOM])
def test_a_mixer_whose_options_are_no_text_stays_out_and_the_team_acts(shaped, layers):
    path, _ = shaped(layers)
    assert TeamPolicy.from_checkpoint(path).agents == ("unit_0", "unit_1")
    assert team_files.read_mixer(path) is None
    with pytest.raises(BadInput, match="holds no mixer: layers, given as its options, cannot be w"):
        load_module(path)


def test_nothing_is_written_that_could_not_be_read(tmp_path):
    with pytest.raises(BadInput, match=r"policy.json could not be read again: environment.env: "):
        write_team(tmp_path / "long", env="e" * 1001)
    with pytest.raises(BadInput, match=r"could not be read again: it takes \d[\d,]+ bytes"):
        write_team(tmp_path / "large", env_config={"of": "e" * team_files.METADATA_LIMIT})
