"""Evaluation as RLlib has it: own functions, another env, as long as training takes."""

import numpy as np
import pytest
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger

from rllib_qatten import QMIXConfig
from tests.algorithms.tiny import build

pytestmark = pytest.mark.usefixtures("ray_session")
HERE = ("evaluation", "env_runners")


def aggregated(algorithm, runners):
    """As RLlib's own example: several rounds, and what the env runners report of them."""
    rounds = [
        runners.foreach_env_runner(lambda runner: (runner.sample(), runner.get_metrics()))
        for _ in range(3)
    ]
    played = [result for round_ in rounds for result in round_]
    algorithm.metrics.aggregate([metrics for _, metrics in played], key=HERE)
    episodes = [episode for games, _ in played for episode in games]
    steps = sum(episode.env_steps() for episode in episodes)
    return algorithm.metrics.peek(HERE), steps, sum(e.agent_steps() for e in episodes)


def own_key(algorithm, runners):
    logger = MetricsLogger(root=False)
    logger.log_value("score", 7.0 + algorithm.iteration, reduce="mean", window=1)
    algorithm.metrics.aggregate([logger.reduce()], key=HERE)
    return {}, 4, 8


def logged(algorithm, runners):
    algorithm.metrics.log_value((*HERE, "score"), 7.0 + algorithm.iteration)
    return {}, 4, 8


def returned(algorithm, runners):
    results = {"score": 7.0 + algorithm.iteration, "by_map": {"small": np.float32(1.5)}}
    return results | {"scores": [1.0, 2.0]}, np.int64(4), np.array([4, 4]).sum()


@pytest.mark.parametrize("function", [own_key, logged, returned])
def test_a_functions_numbers_are_in_every_result(function):
    algorithm = build("QMIX", custom_evaluation_function=function)
    for iteration in range(3):
        found = algorithm.train()["evaluation"]["env_runners"]
        assert found["score"] == 7.0 + iteration
        assert found.get("by_map", {"small": 1.5}) == {"small": 1.5}
        assert found.get("scores", [1.0, 2.0]) == [1.0, 2.0]
    assert algorithm.evaluate()["env_runners"]["score"] == 10.0
    algorithm.stop()


def test_it_may_play_rounds_of_its_own():
    algorithm = build("QMIX", custom_evaluation_function=aggregated)
    for _ in range(2):
        found = algorithm.train()["evaluation"]["env_runners"]
        assert found["num_episodes"] == 3 * 4
        assert found["episode_len_mean"] == 2
    algorithm.stop()


def test_iterations_without_an_evaluation_keep_its_keys():
    algorithm = build("QMIX", custom_evaluation_function=returned, evaluation_interval=2)
    assert algorithm.train()["evaluation"] == {"env_runners": {}}
    assert algorithm.train()["evaluation"]["env_runners"]["score"] == 8.0
    missing = algorithm.train()["evaluation"]["env_runners"]
    assert np.isnan([missing["score"], missing["by_map"]["small"]]).all()
    algorithm.stop()


def test_a_function_that_returns_something_else_is_told_what_to():
    algorithm = build("QMIX", custom_evaluation_function=lambda *_: {"score": 1.0})
    with pytest.raises(ValueError, match="must return a dict of results and two whole numbers"):
        algorithm.train()
    algorithm.stop()


def test_another_env_in_evaluation():
    other = {"env": "two_step_game", "explore": False, "num_envs_per_env_runner": 2}
    with pytest.raises(ValueError, match=r"evaluation_config has .*\[2, 2, 3\].*\[2, 3, 1\]"):
        build("QMIX", env="matrix_game", evaluation_config=other)
    with pytest.raises(ValueError, match=r"a whole config.*QMIXConfig.overrides\("):
        build("QMIX", evaluation_config=QMIXConfig().environment("matrix_game"))
    shorter = {"env_config": {"payoff": [[1.0, 1.0], [1.0, 1.0]]}, "explore": True}
    algorithm = build(  # arrays do not compare to one truth value
        "QMIX", "matrix_game", env_config={"payoff": np.full((2, 2), 3.0)},
        evaluation_config=shorter,
    )  # fmt: skip
    result = algorithm.train()
    assert result["env_runners"]["episode_return_mean"] == 3.0
    assert result["evaluation"]["env_runners"]["episode_return_mean"] == 1.0
    algorithm.stop()


def test_timesteps_are_a_unit_of_duration():
    algorithm = build("QMIX", evaluation_duration=20, evaluation_duration_unit="timesteps")
    found = algorithm.train()["evaluation"]["env_runners"]
    assert found["num_env_steps_sampled"] == 20
    algorithm.stop()


@pytest.mark.parametrize("anew", [True, False])
def test_timesteps_begin_anew_unless_the_setting_says_otherwise(anew, capfd):
    algorithm = build(
        "QMIX", evaluation_duration=4, evaluation_duration_unit="timesteps",
        evaluation_force_reset_envs_before_iteration=anew, num_envs_per_env_runner=4,
    )  # fmt: skip
    found = [algorithm.train()["evaluation"]["env_runners"] for _ in range(4)]
    games = [0 if np.isnan(each["num_episodes"]) else each["num_episodes"] for each in found]
    assert games == ([0, 0, 0, 0] if anew else [0, 4, 0, 4])  # games of two steps
    algorithm.stop()
    said = capfd.readouterr().err.count("has no score: evaluation_duration is 4 timesteps")
    assert said == 1


@pytest.mark.slow
def test_as_long_as_training_takes():
    algorithm = build(
        "QMIX",
        evaluation_duration="auto",
        evaluation_num_env_runners=1,
        evaluation_parallel_to_training=True,
        evaluation_auto_duration_min_env_steps_per_sample=40,
        evaluation_auto_duration_max_env_steps_per_sample=40,
        evaluation_sample_timeout_s=60.0,
        evaluation_force_reset_envs_before_iteration=False,
        evaluation_unhealthy_workers_timeout_s=0.1,
        evaluation_error_after_n_consecutive_skips=3,
        min_time_s_per_iteration=1.0,
    )
    found = algorithm.train()["evaluation"]["env_runners"]
    assert found["num_env_steps_sampled"] >= 40
    assert found["num_env_steps_sampled"] % 40 == 0  # whole samples of 40 steps
    assert found["episode_len_mean"] == 2
    algorithm.stop()


@pytest.mark.parametrize(
    "interval", [None, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 3))]
)
def test_an_evaluation_by_hand_leaves_training_alone(interval):
    def trained(evaluates):
        algorithm = build("VDN", epsilon=[[0, 1.0], [300, 0.0]], evaluation_interval=interval)
        for _ in range(2):
            if evaluates:
                assert algorithm.evaluate()["env_runners"]["num_episodes"] == 5
            result = algorithm.train()
        found = result.get("evaluation", {}).get("env_runners", {})
        assert ("evaluation" in result) == bool(interval)
        assert np.isnan(list(found.values())).all()  # it had none of its own
        numbers = {k: v for k, v in result["env_runners"].items() if not hasattr(v, "keys")}
        games = algorithm.env_runner.get_games()
        weights = algorithm.get_weights()["default_policy"]
        algorithm.stop()
        compared = ("episode_return_mean", "epsilon", "num_episodes", "num_env_steps_sampled")
        return {name: numbers[name] for name in compared}, weights, games["games"]["view"]

    for alone, beside in zip(trained(False), trained(True), strict=True):
        np.testing.assert_equal(beside, alone)


@pytest.mark.parametrize("interval", [None, 0])
def test_an_evaluation_by_hand_is_greedy(interval, tmp_path):
    algorithm = build(
        "VDN", "matrix_game", env_config={"payoff": [[1.0, 2.0], [4.0, 8.0]]}, epsilon=1.0,
        evaluation_interval=interval, evaluation_duration=20,
    )  # fmt: skip
    assert algorithm.eval_env_runner_group is None  # who never evaluates has no other env
    before = algorithm.save_to_path(tmp_path / "before")
    for _ in range(2):
        assert algorithm.evaluate()["env_runners"]["episode_return_mean"] in (1, 2, 4, 8)
        algorithm.restore_from_path(before)
    after = algorithm.save_to_path(tmp_path / "after")
    algorithm.stop()
    other = type(algorithm).from_checkpoint(after)
    assert other.evaluate()["env_runners"]["num_episodes"] == 20
    other.stop()


def test_an_evaluation_by_hand_may_not_play_teams_of_another_size():
    other = {"env": "two_step_game"}
    algorithm = build("QMIX", "matrix_game", evaluation_config=other, evaluation_interval=None)
    with pytest.raises(ValueError, match=r"evaluation_config has .*\[2, 2, 3\].*\[2, 3, 1\]"):
        algorithm.evaluate()
    algorithm.stop()
