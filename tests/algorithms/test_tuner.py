"""Tune with a config object, from Python alone: searched, scheduled, restored."""

import functools
from pathlib import Path

import pytest
from ray import tune
from ray.rllib.algorithms.algorithm import Algorithm
from ray.tune.schedulers import ASHAScheduler

from rllib_qatten import QMIX, QattenConfig
from rllib_qatten.algorithms.recipes import RECIPES
from rllib_qatten.algorithms.unknown_setting import UnknownSetting

METRIC = "evaluation/env_runners/episode_return_mean"


def fail_once(flag, algorithm, result, **kwargs):
    """Breaks the second iteration of Adam's trial, until told otherwise."""
    if algorithm.config.optimizer_name == "adam" and result["training_iteration"] == 2:
        if not Path(flag).exists():
            Path(flag).touch()
            raise RuntimeError("broken on purpose")


@pytest.mark.usefixtures("ray_session")
def test_a_config_is_searched_scheduled_and_restored(tmp_path):
    config = (
        QattenConfig()
        .environment("two_step_game")
        .training(
            recipe=tune.grid_search(["pymarl", "smax_recurrent"]),
            n_heads=tune.grid_search([2]),
            lr=tune.choice([[[0, 1e-3], [100, 1e-4]]]),
            train_batch_size_episodes=4,
            hidden_size=8,
            updates_per_episode=0.1,
        )
        .env_runners(num_envs_per_env_runner=2)
        .reporting(min_sample_timesteps_per_iteration=40)
        .evaluation(evaluation_duration=2)
        .callbacks(on_train_result=functools.partial(fail_once, str(tmp_path / "failed")))
    )
    tuner = tune.Tuner(
        "Qatten",
        param_space=config,
        tune_config=tune.TuneConfig(
            metric=METRIC, mode="max", scheduler=ASHAScheduler(max_t=3, grace_period=3)
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(tmp_path),
            stop={"training_iteration": 3},
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1),
            verbose=0,
        ),
    )
    found = tuner.fit()
    assert len(found) == 2
    assert found.num_errors == 1

    restored = tune.Tuner.restore(
        str(tmp_path / "search"), "Qatten", param_space=config, resume_errored=True
    )
    found = restored.fit()
    assert not found.errors
    table = found.get_dataframe().set_index("config/recipe")
    assert set(table.index) == {"pymarl", "smax_recurrent"}
    assert table["training_iteration"].tolist() == [3, 3]
    for recipe in ("pymarl", "smax_recurrent"):
        # What was set lies on top of each recipe's own.
        assert table["config/n_heads"][recipe] == 2
        assert table["config/train_batch_size_episodes"][recipe] == 4
    best = found.get_best_result()
    algorithm = Algorithm.from_checkpoint(best.get_best_checkpoint(METRIC, "max").path)
    recipe = RECIPES[best.config["recipe"]]
    assert algorithm.config.recipe == best.config["recipe"] == best.metrics["recipe"]
    assert algorithm.config.optimizer_name == recipe["optimizer_name"]
    assert algorithm.config.td_lambda == recipe["td_lambda"]
    assert algorithm.config.lr == [[0, 1e-3], [100, 1e-4]]
    assert algorithm.get_config() is algorithm.config
    again = QattenConfig().update_from_dict(algorithm.config.to_dict()).training(gamma=0.9)
    again.validate()
    assert (again.recipe, again.lr) == (algorithm.config.recipe, algorithm.config.lr)
    algorithm.stop()


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_tune_run_searches_an_envs_settings(tmp_path):
    payoffs = [[[1.0, 1.0], [1.0, 1.0]], [[3.0, 3.0], [3.0, 3.0]]]
    config = (
        QattenConfig()
        .environment("matrix_game", env_config={"payoff": tune.grid_search(payoffs)})
        .training(train_batch_size_episodes=4, hidden_size=8, updates_per_episode=0.1)
        .reporting(min_sample_timesteps_per_iteration=20)
        .evaluation(evaluation_duration=2)
    )
    found = tune.run(
        "Qatten",
        config=config.to_dict(),
        stop={"training_iteration": 1},
        storage_path=str(tmp_path),
        verbose=0,
    )
    returns = {
        trial.config["env_config"]["payoff"][0][0]: trial.last_result["evaluation"]["env_runners"][
            "episode_return_mean"
        ]
        for trial in found.trials
    }
    assert returns == {1.0: 1.0, 3.0: 3.0}


def test_ray_can_name_an_algorithm_whose_constructor_raised():
    """It asks for that to tell the error, which another one would hide."""
    begun = []

    class Begun(QMIX):
        def __init__(self, config=None, **kwargs):
            begun.append(self)
            super().__init__(config, **kwargs)

    with pytest.raises(UnknownSetting, match="Did you mean 'lr'"):
        Begun({"env": "two_step_game", "lrr": 1})
    assert repr(begun[0]) == "Begun"
