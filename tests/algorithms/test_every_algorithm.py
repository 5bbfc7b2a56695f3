"""What every algorithm of the registry must do: build, train, evaluate, save, restore, act."""

import re

import numpy as np
import pytest
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.tune.registry import register_env
from ray.tune.utils import flatten_dict

from rllib_qatten import ALGORITHMS, keys
from rllib_qatten.algorithms import value_decomposition
from tests.algorithms.tiny import assert_equal, build, weights
from tests.settings import every_algorithm
from tests.teams import ScriptedBattle

pytestmark = pytest.mark.usefixtures("ray_session")


#: Keys that not all have: part -> who has them, algorithms or choices.
WITH_MIXER = set(ALGORITHMS) - {"QTRAN", "IndependentQ"}
OWN_KEYS = {
    "/head_": {"Qatten", "attention"},
    "opt_loss": {"QTRAN"},
    "/central_loss": {"WQMIX"},
    "/weight_mean": {"WQMIX"},
    "effective_weight": WITH_MIXER,
}


@pytest.fixture(autouse=True, scope="module")
def _scripted_battle():
    register_env("scripted_battle", ScriptedBattle)


@every_algorithm
def test_before_anything_is_learned_results_have_the_learners_keys(name, options):
    algorithm = build(name, **options, train_batch_size_episodes=40, evaluation_interval=None)
    first, second = (flatten_dict(algorithm.train()) for _ in range(2))
    algorithm.stop()
    assert first["num_updates_lifetime"] == 0 < second["num_updates_lifetime"]
    promised = [key for key in second if re.sub(r"\d+", "0", key) in keys.KEYS]
    assert [key for key in promised if key not in first] == []
    learned = [key for key in first if key.startswith(keys.LEARNER)]
    assert len(learned) > 4
    assert np.isnan([first[key] for key in learned]).all()
    assert np.isfinite([second[key] for key in learned]).all()


@every_algorithm
def test_train_evaluate_save_restore_act(name, options, tmp_path):
    algorithm = build(name, **options)
    for _ in range(2):
        result = algorithm.train()
    learner = result["learners"]["default_policy"]
    assert np.isfinite(learner["total_loss"])
    assert result["num_updates_lifetime"] > 20
    assert result["replay_episodes"] == 50
    assert result["engine"] == "TwoStepGame"
    found = flatten_dict(result)
    battle_only = {key for key in keys.KEYS if "win_rate" in key}
    others = {
        key
        for key in keys.KEYS
        for part, names in OWN_KEYS.items()
        if part in key and not {name, *options.values()} & names
    }
    by_tune = {"training_iteration", "time_total_s"}
    assert not {k for k in keys.KEYS.keys() - battle_only - others - by_tune if k not in found}
    assert not others & found.keys()
    assert result["evaluation"]["env_runners"]["num_episodes"] == 5
    assert "win_rate" not in result["env_runners"]  # no battle
    assert "win_rate" not in result["evaluation"]["env_runners"]

    path = algorithm.save_to_path(tmp_path / "checkpoint")
    before = algorithm.evaluate()["env_runners"]
    restored = Algorithm.from_checkpoint(path)
    assert_equal(weights(algorithm), weights(restored))
    again = restored.evaluate()["env_runners"]
    assert again["episode_return_mean"] == before["episode_return_mean"]
    view = restored.env_runner.env.reset()
    output = restored.get_module().forward_inference(
        {
            "obs": view.observations,
            "last_actions": np.full((4, 2), -1),
            "state_in": {"hidden": torch.zeros(4, 2, 16)},
        }
    )
    assert output["utilities"].shape == (4, 2, 2)
    restored.train()
    algorithm.stop()
    restored.stop()


def trained(name, seed):
    """The weights after an iteration."""
    algorithm = build(name, seed=seed, evaluation_interval=None)
    assert algorithm.train()["num_updates_lifetime"] >= 20
    found = weights(algorithm)
    algorithm.stop()
    return found


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[] if n in ("QMIX", "Qatten") else [pytest.mark.slow])
        for n in ALGORITHMS
    ],
)
def test_same_seed_same_weights(name):
    assert_equal(trained(name, 5), trained(name, 5))


def test_another_seed_other_weights():
    ours, theirs = trained("Qatten", 5), trained("Qatten", 6)
    assert any(not np.array_equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.parametrize("name", ["Qatten", pytest.param("WQMIX", marks=pytest.mark.slow)])
def test_watching_effective_weights_changes_nothing(name, monkeypatch):
    """All weights and targets are the same bits with and without."""
    trained = []
    for watched in (True, False):
        if not watched:
            monkeypatch.setattr(value_decomposition, "report", lambda learner, episodes: {})
        algorithm = build(name)
        for _ in range(3):
            result = algorithm.train()["learners"]["default_policy"]
        assert ("effective_weight_mean" in result) == watched
        if watched:
            agents = [result[f"agent_{i}_effective_weight"] for i in range(2)]
            assert result["effective_weight_mean"] == pytest.approx(np.mean(agents))
        trained.append(weights(algorithm))
        algorithm.stop()
    assert_equal(*trained)


@pytest.mark.parametrize("name", ["Qatten", "IndependentQ"])
def test_priorities_follow_the_errors(name):
    algorithm = build(name, replay="prioritized")
    result = algorithm.train()
    assert "td_error" not in result["learners"]["default_policy"]
    before = algorithm.replay.get_state()["priorities"]
    assert len(np.unique(before)) > 20
    assert (before < 10).all()
    algorithm.stop()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_q_lambda_needs_no_change_of_an_algorithm(name):
    algorithm = build(name, returns="q_lambda", td_lambda=0.3)
    assert np.isfinite(algorithm.train()["learners"]["default_policy"]["total_loss"])
    algorithm.stop()
