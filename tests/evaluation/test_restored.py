"""A trained team plays the same through everything that restores it, on real battles."""

import json

import numpy as np
import pytest
import torch
from ray.rllib.algorithms.algorithm import Algorithm

from rllib_qatten import Qatten, QattenConfig, TeamPolicy
from rllib_qatten.envs.battles import smax
from rllib_qatten.evaluation.environment import make_games
from rllib_qatten.evaluation.evaluate import evaluate
from rllib_qatten.evaluation.export import export

pytestmark = [
    pytest.mark.skipif(not smax.installed(), reason="the extra smax is not installed"),
    pytest.mark.usefixtures("ray_session"),
]

GAMES = 8  # side by side; the same number as in the tests of SMAX, so that it is compiled once


@pytest.fixture(
    scope="module", params=["recurrent", pytest.param("entity", marks=pytest.mark.slow)]
)
def trained(tmp_path_factory, ray_session, request):
    """An algorithm that has learned a little on SMAX's 3m, and its checkpoint."""
    config = QattenConfig().update_from_dict(
        {
            "env": "smac",
            "env_config": {"map_name": "3m", "engine": "smax"},
            "num_envs_per_env_runner": GAMES,
            "min_sample_timesteps_per_iteration": 400,
            "train_batch_size_episodes": 8,
            "evaluation_duration": 10,
            "agent": request.param,
            "hidden_size": 32,
            "lr": 0.003,
            "seed": 1,
        }
    )
    algorithm = config.build_algo()
    algorithm.train()
    yield algorithm, algorithm.save_to_path(tmp_path_factory.mktemp("run") / "checkpoint")
    algorithm.stop()


def replay(step, episode):
    """The greedy actions [T, N] of someone who sees a recorded game step by step."""
    last, actions = np.full((1, 3), -1), []
    for seen, legal in zip(episode.observations[:-1], episode.legal_actions[:-1], strict=True):
        utilities = np.where(legal, step(seen[None], last), -np.inf)
        last = utilities.argmax(-1)
        actions.append(last[0])
    return np.array(actions)


class Module:
    """An RLModule's step, with the hidden state kept."""

    def __init__(self, module):
        self.module = module
        self.state = {"hidden": torch.zeros(1, 3, 32)}

    def __call__(self, observations, last_actions):
        output = self.module.forward_inference(
            {"obs": observations, "last_actions": last_actions, "state_in": self.state}
        )
        self.state = output["state_out"]
        return output["utilities"].numpy()


class Graph:
    """An exported graph's step, with the hidden state kept."""

    def __init__(self, run):
        self.run = run
        self.hidden = np.zeros((1, 3, 32), np.float32)

    def __call__(self, observations, last_actions):
        utilities, self.hidden = self.run(observations, last_actions, self.hidden)
        return utilities


def test_the_same_actions_in_100_recorded_battles(trained, tmp_path):
    """As trained, restored as an algorithm, as a team, through ONNX and through torch.export."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    algorithm, path = trained
    team = TeamPolicy.from_checkpoint(path)
    games = evaluate(team, make_games(team, GAMES, {}), 100, seed=3).episodes
    assert len(games) == 100
    restored = Algorithm.from_checkpoint(path)
    session = onnxruntime.InferenceSession(export(team, "onnx", tmp_path / "team.onnx"))
    program = torch.export.load(export(team, "torch", tmp_path / "team.pt2")).module()

    def onnx(*inputs):
        names = ("observations", "last_actions", "hidden")
        return session.run(["utilities", "next_hidden"], dict(zip(names, inputs, strict=True)))

    def by_torch(*inputs):
        return [output.numpy() for output in program(*map(torch.from_numpy, inputs))]

    varied = set()
    for game in games:
        expected = replay(Module(algorithm.get_module()), game)
        varied |= set(expected.ravel().tolist())
        np.testing.assert_array_equal(game.actions, expected)  # TeamPolicy's own
        for step in (Module(restored.get_module()), Graph(onnx), Graph(by_torch)):
            np.testing.assert_array_equal(replay(step, game), expected)
    assert len(varied) > 2
    restored.stop()
    metadata = session.get_modelmeta().custom_metadata_map
    assert {name: json.loads(value) for name, value in metadata.items()} == team.metadata
    assert team.metadata["environment"]["env_config"] == {"map_name": "3m", "engine": "smax"}
    assert [i.shape[1:] for i in session.get_inputs()] == [[3, 75], [3], [3, 32]]


def test_evaluate_of_a_restored_algorithm(trained):
    """Both ways to evaluate play the same network."""
    algorithm, path = trained
    restored = Qatten.from_checkpoint(path)
    ours = restored.evaluate()["env_runners"]
    theirs = algorithm.evaluate()["env_runners"]
    assert ours["num_episodes"] == theirs["num_episodes"] == 10
    assert 0 <= ours["win_rate"] <= 1
    restored.stop()


@pytest.mark.slow
def test_with_remote_runners_the_learners_weights_are_kept(tmp_path):
    config = QattenConfig().update_from_dict(
        {
            "env": "two_step_game",
            "num_env_runners": 1,
            "min_sample_timesteps_per_iteration": 100,
            "train_batch_size_episodes": 8,
            "evaluation_interval": None,
            "hidden_size": 16,
        }
    )
    algorithm = config.build_algo()
    before = TeamPolicy.from_checkpoint(algorithm.save_to_path(tmp_path / "0"))
    algorithm.train()
    after = TeamPolicy.from_checkpoint(algorithm.save_to_path(tmp_path / "1"))
    learned = algorithm.learner_group._learner.module["default_policy"].agent.state_dict()
    for name, weight in after.network.network.state_dict().items():
        torch.testing.assert_close(weight, learned[name], rtol=0, atol=0)
        assert (weight != before.network.network.state_dict()[name]).any(), name
    algorithm.stop()
