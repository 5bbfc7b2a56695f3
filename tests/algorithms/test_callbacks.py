"""RLlib's callbacks through an algorithm: where they run, and what their metrics become.

The callbacks are written as RLlib's users write them; nothing in them is of this package.
"""

import functools
from typing import ClassVar

import numpy as np
import pytest
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, EPISODE_RETURN_MEAN, EVALUATION_RESULTS

from rllib_qatten import QMIXConfig, VDNConfig
from rllib_qatten.envs import TwoStepGame

pytestmark = pytest.mark.usefixtures("ray_session")


def config(env="two_step_game", cls=QMIXConfig, runners=0, **env_config):
    return (
        cls()
        .environment(env, env_config=env_config)
        .env_runners(num_env_runners=runners, num_envs_per_env_runner=2)
        .training(train_batch_size_episodes=4, replay_capacity_episodes=50, hidden_size=8)
        .evaluation(evaluation_duration=4)
        .reporting(min_sample_timesteps_per_iteration=40)
        .debugging(seed=1)
    )


class Metrics(RLlibCallback):
    """Custom metrics of every kind, as in RLlib's examples."""

    def on_environment_created(self, *, env_runner, metrics_logger, env, env_context, **kwargs):
        metrics_logger.log_value("envs_made", env.num_envs, reduce="sum")

    def on_episode_start(self, *, episode, env_runner, metrics_logger, env, env_index, **kwargs):
        assert episode.is_reset
        assert not episode.is_done
        episode.custom_data["chosen"] = []

    def on_episode_step(
        self, *, episode, env_runner, metrics_logger, env, env_index, rl_module, **kwargs
    ):
        episode.custom_data["chosen"].append(episode.get_actions(-1)["agent_0"])

    def on_episode_end(
        self, *, episode, env_runner, metrics_logger, env, env_index, rl_module, **kwargs
    ):
        mean = functools.partial(metrics_logger.log_value, reduce="mean", window=100)
        mean("my_return", episode.get_return())
        mean("my_length", len(episode))
        mean(("chosen", "first"), episode.custom_data["chosen"][0])
        mean("last_reward_of_agent_0", episode.get_rewards(-1)["agent_0"])
        for agent_id, agent_episode in episode.agent_episodes.items():
            mean(("return_of", agent_id), agent_episode.get_return())
        metrics_logger.log_value("best", episode.get_return(), reduce="max")
        metrics_logger.log_value("returns", episode.get_return(), reduce="item_series")
        stage = "eval" if env_runner.config.in_evaluation else "train"
        metrics_logger.log_value(stage, 1, reduce="sum")

    def on_sample_end(self, *, env_runner, metrics_logger, samples, **kwargs):
        metrics_logger.log_value(
            "sampled_return", sum(e.get_return() for e in samples), reduce="sum"
        )


@pytest.mark.parametrize("runners", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_custom_metrics_in_training_and_evaluation(runners):
    algorithm = (
        config(runners=runners)
        .evaluation(evaluation_num_env_runners=runners and 1)
        .callbacks(Metrics)
        .build_algo()
    )
    result = algorithm.train()
    algorithm.stop()
    for results, stage, games in (
        (result[ENV_RUNNER_RESULTS], "train", None),
        (result[EVALUATION_RESULTS][ENV_RUNNER_RESULTS], "eval", 4),
    ):
        games = games or results["num_episodes"]
        assert results[stage] == len(results["returns"]) == games
        assert ("train" if stage == "eval" else "eval") not in results
        mean = results[EPISODE_RETURN_MEAN]
        assert np.mean(results["returns"]) == pytest.approx(mean)
        assert results["sampled_return"] == pytest.approx(mean * games)
        assert results["best"] == max(results["returns"])
        assert results["my_length"] == 2
        assert 0 <= results["chosen"]["first"] <= 1
        if not runners:  # RLlib's own mean is of the runners' means
            assert results["my_return"] == pytest.approx(mean)
            assert results["last_reward_of_agent_0"] == pytest.approx(mean)
            assert results["return_of"]["agent_1"] == pytest.approx(mean)


def test_functions_alone():
    ended = []
    algorithm = config().callbacks(on_episode_end=lambda **kw: ended.append(kw)).build_algo()
    result = algorithm.train()
    algorithm.stop()
    assert len(ended) == result[ENV_RUNNER_RESULTS]["num_episodes"] + 4
    assert {kw["env_runner"].config.in_evaluation for kw in ended} == {False, True}


class OfTheAlgorithm(RLlibCallback):
    """The callbacks that are called where the algorithm is."""

    calls: ClassVar[list] = []

    def on_algorithm_init(self, *, algorithm, metrics_logger, **kwargs):
        self.calls.append("init")

    def on_train_result(self, *, algorithm, metrics_logger, result, **kwargs):
        self.calls.append("train result")
        result["twice_the_return"] = 2 * result[ENV_RUNNER_RESULTS][EPISODE_RETURN_MEAN]

    def on_evaluate_start(self, *, algorithm, metrics_logger, **kwargs):
        self.calls.append("evaluate start")

    def on_evaluate_end(self, *, algorithm, metrics_logger, evaluation_metrics, **kwargs):
        self.calls.append("evaluate end")
        evaluation_metrics["mine"] = 3.0

    def on_checkpoint_loaded(self, *, algorithm, **kwargs):
        self.calls.append("checkpoint loaded")


def test_callbacks_of_the_algorithm(tmp_path):
    calls = OfTheAlgorithm.calls
    calls.clear()
    algorithm = config(cls=VDNConfig).callbacks(OfTheAlgorithm).build_algo()
    result = algorithm.train()
    assert calls == ["init", "evaluate start", "evaluate end", "train result"]
    mean = result[ENV_RUNNER_RESULTS][EPISODE_RETURN_MEAN]
    assert result["twice_the_return"] == 2 * mean
    assert result[EVALUATION_RESULTS]["mine"] == 3.0
    algorithm.save_to_path(tmp_path / "c")
    calls.clear()
    algorithm.restore(str(tmp_path / "c"))  # as Tune does; restore_from_path has none in RLlib
    assert calls == ["checkpoint loaded"]
    assert algorithm.evaluate()["mine"] == 3.0
    algorithm.stop()


class Task(TwoStepGame):
    """The two-step game with a pay for its task."""

    def __init__(self, config=None):
        super().__init__()
        self.pay = (config or {}).get("pay", 1.0)

    def set_task(self, pay):
        self.pay = pay

    def outcome(self, joint):
        reward, following = super().outcome(joint)
        return reward and self.pay, following


def _by_make_env(env_runner, pay):
    env_runner.config.environment(env_config={"pay": pay})
    env_runner.make_env()


def _by_set_task(env_runner, pay):
    if env_runner.env is not None:  # the local one of remote env runners has none
        for env in env_runner.env.unwrapped.envs:
            env.unwrapped.set_task(pay)


class Curriculum(RLlibCallback):
    """A harder task whenever the last one is solved, as in RLlib's example."""

    def __init__(self, change):
        super().__init__()
        self.change, self.pay = change, 1.0

    def on_train_result(self, *, algorithm, metrics_logger, result, **kwargs):
        if result[ENV_RUNNER_RESULTS][EPISODE_RETURN_MEAN] > 0.5 * self.pay:
            self.pay *= 10
            for group in (algorithm.env_runner_group, algorithm.eval_env_runner_group):
                group.foreach_env_runner(functools.partial(self.change, pay=self.pay))
        result["task"] = self.pay


@pytest.mark.parametrize("change", [_by_make_env, _by_set_task])
@pytest.mark.parametrize("runners", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_curriculum(change, runners):
    algorithm = (
        config(Task, runners=runners).callbacks(functools.partial(Curriculum, change)).build_algo()
    )
    returns = []
    for _ in range(3):
        result = algorithm.train()
        returns.append(result[ENV_RUNNER_RESULTS][EPISODE_RETURN_MEAN])
        assert result["task"] == 10.0 ** len(returns)
    algorithm.stop()
    # Game 2B may pay nothing; a game that was under way at the change is paid by its last step.
    assert 0.5 < returns[0] <= 1
    assert 5 < returns[1] <= 10
    assert 50 < returns[2] <= 100
    assert result[EVALUATION_RESULTS][ENV_RUNNER_RESULTS][EPISODE_RETURN_MEAN] in (
        0,
        25,
        50,
        75,
        100,
    )


class Painted(TwoStepGame):
    """A game with a picture: its state, as a grey image."""

    def render(self):
        return np.full((8, 12, 3), 50 * self._now, np.uint8)


class Render(RLlibCallback):
    """Videos of the best game, as RLlib's example makes them for a vector and for a single env."""

    best = (None, float("-inf"))

    def on_episode_step(self, *, episode, env, **kwargs):
        image = env.unwrapped.render()
        episode.custom_data.setdefault("images", []).append(image)

    def on_episode_end(self, *, episode, **kwargs):
        if episode.get_return() > self.best[1]:
            video = np.expand_dims(np.stack(episode.custom_data["images"]), 0)
            self.best = (video, episode.get_return())

    def on_sample_end(self, *, metrics_logger, samples, **kwargs):
        metrics_logger.log_value("video", self.best[0], reduce="item_series")
        self.best = (None, float("-inf"))


def test_pictures():
    algorithm = config(Painted).callbacks(Render).build_algo()
    video = algorithm.train()[ENV_RUNNER_RESULTS]["video"][0]
    algorithm.stop()
    assert video.shape == (1, 2, 8, 12, 3)
    # After each step of the game, never of the next one.
    assert (video > 0).all()
