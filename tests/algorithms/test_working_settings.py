"""RLlib's settings that work here, tried: each changes what it should."""

import contextlib
import logging
import os
import time

import numpy as np
import pytest
import torch
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.metrics.stats import MeanStats
from ray.tune.registry import register_env

from rllib_qatten import QMIX, QMIXConfig
from rllib_qatten.algorithms.qmix import QMIXRLModule
from rllib_qatten.rollout.env_runner import TeamEnvRunner
from rllib_qatten.training.learner import ValueDecompositionTorchLearner
from tests.algorithms.tiny import TINY, assert_equal, build, weights
from tests.teams import ScriptedBattle

pytestmark = pytest.mark.usefixtures("ray_session")
SCRIPTED = {"env": "scripted_battle", "num_envs_per_env_runner": 1}


@pytest.fixture(autouse=True, scope="module")
def _scripted_battle():
    register_env("scripted_battle", ScriptedBattle)
    register_env("troubled", Troubled)


class Troubled(ScriptedBattle):
    """Dies with its process, once, when a file is there; or takes its time."""

    def reset(self, *, seed=None, options=None):
        with contextlib.suppress(KeyError, FileNotFoundError):
            os.remove(self.config["die"])
            os._exit(1)
        time.sleep(self.config.get("sleep", 0))
        return super().reset(seed=seed, options=options)


def trained(iterations=1, name="QMIX", **settings):
    algorithm = build(name, **settings)
    results = [algorithm.train() for _ in range(iterations)]
    algorithm.stop()
    return results


def test_what_tune_reserves():
    config = QMIXConfig().environment("two_step_game")
    config.resources(
        num_cpus_for_main_process=3,
        custom_resources_for_main_process={"main": 1},
        placement_strategy="SPREAD",
    ).env_runners(
        num_env_runners=1, num_cpus_per_env_runner=2, custom_resources_per_env_runner={"games": 1}
    ).learners(num_learners=1, num_cpus_per_learner=4, custom_resources_per_learner={"nets": 1})
    config.evaluation(evaluation_num_env_runners=0)
    request = QMIX.default_resource_request(config.to_dict())
    bundles = [{k: v for k, v in bundle.items() if v} for bundle in request.bundles]
    assert bundles[0] == {"CPU": 3.0, "main": 1.0}
    assert {"CPU": 2.0, "games": 1.0} in bundles
    assert {"CPU": 4.0, "nets": 1.0} in bundles
    assert request.strategy == "SPREAD"


@pytest.mark.slow
def test_the_local_env_runner():
    remote = {"num_env_runners": 1, "validate_env_runners_after_construction": False}
    algorithm = build("QMIX", **remote, create_env_on_local_worker=True)
    assert algorithm.env_runner.num_envs == TINY["num_envs_per_env_runner"]
    algorithm.stop()
    algorithm = build("QMIX", **remote, create_local_env_runner=False)
    assert algorithm.env_runner is None
    assert algorithm.train()["env_runners"]["num_episodes_lifetime"] >= 30
    algorithm.stop()


def test_own_classes(tmp_path):
    class Runner(TeamEnvRunner):
        pass

    class Learner(ValueDecompositionTorchLearner):
        def after_gradient_based_update(self, *, timesteps):
            super().after_gradient_based_update(timesteps=timesteps)
            key = self.config.learner_config_dict["log_as"]
            self.metrics.log_value(("default_policy", key), 1.0, reduce="mine", window=1)

    class Mine(MeanStats):
        stats_cls_identifier = "mine"

    class Policy(QMIXRLModule):
        pass

    config = QMIXConfig().environment("two_step_game").update_from_dict(TINY)
    config.env_runners(env_runner_cls=Runner)
    config.training(learner_class=Learner, learner_config_dict={"log_as": "own_number"})
    config.reporting(custom_stats_cls_lookup={**config.stats_cls_lookup, "mine": Mine})
    spec = RLModuleSpec(module_class=Policy, model_config={"own_option": 3})
    algorithm = config.rl_module(rl_module_spec=spec).build_algo()
    result = algorithm.train()
    assert isinstance(algorithm.env_runner, Runner)
    assert isinstance(algorithm.get_module(), Policy)
    assert algorithm.get_module().model_config["own_option"] == 3
    assert result["learners"]["default_policy"]["own_number"] == 1.0
    # A policy begins with a checkpoint's weights, targets included.
    path = algorithm.save_to_path(tmp_path) + "/learner_group/learner/rl_module/default_policy"
    config = QMIXConfig().environment("two_step_game").update_from_dict(TINY | {"seed": 2})
    config.rl_module(rl_module_spec=RLModuleSpec(load_state_path=path))
    begun = config.build_algo()
    assert_equal(weights(begun), weights(algorithm))
    acting = begun.get_module().state_dict()
    for name, value in algorithm.get_module().state_dict().items():
        assert torch.equal(value, acting[name])
    algorithm.stop()
    begun.stop()


def test_how_long_an_iteration_is():
    [result] = trained(min_sample_timesteps_per_iteration=0, min_time_s_per_iteration=0.5)
    assert result["time_this_iter_s"] >= 0.5
    [result] = trained(min_sample_timesteps_per_iteration=0, min_train_timesteps_per_iteration=200)
    learned = result["learners"]["__all_modules__"]["num_env_steps_trained_lifetime"]
    assert 200 <= learned < 400


def test_gradients_norms_are_those_before_clipping():
    kinds = [{"grad_clip": None}, *({"grad_clip_by": k} for k in ("value", "norm", "global_norm"))]
    norms = [  # of the same gradients: nothing is learned at such a rate
        trained(**{"lr": 1e-12, "grad_clip": 1e-3, "log_gradients": logged} | kind)[0]["learners"]
        ["default_policy"]["gradients_default_optimizer_global_norm"]
        for kind in kinds
        for logged in (False, True)
    ]  # fmt: skip
    assert norms[0] > 0.01
    np.testing.assert_allclose(norms, norms[0], rtol=1e-3)


def test_clipping_gradients():
    before, after = [], []
    for clip in (None, 1e-9):
        algorithm = build("QMIX", grad_clip=clip, grad_clip_by="value", optimizer_name="rmsprop")
        before.append(weights(algorithm))
        algorithm.train()
        after.append(weights(algorithm))
        algorithm.stop()
    assert_equal(*before)
    free, held = (
        max(np.abs(last[name] - first[name]).max() for name in first)
        for first, last in zip(before, after, strict=True)
    )
    assert held < 0.1 * free


def test_explore_false_plays_greedy_games_and_says_so():
    results = trained(2, explore=False, seed=3)
    for result in results:
        assert result["env_runners"]["epsilon"] == 0
        assert result["env_runners"]["episode_return_mean"] in (7.0, 0.0, 1.0, 8.0)


def test_logs():
    level = logging.getLogger("ray.rllib").level
    try:
        algorithm = build("QMIX", log_level="ERROR", log_sys_usage=False)
        assert logging.getLogger("ray.rllib").level == logging.ERROR
        assert not algorithm._monitor.is_alive()
        algorithm.stop()
    finally:
        logging.getLogger("ray.rllib").setLevel(level)


def test_rllibs_checks_can_be_switched_off():
    config = QMIXConfig().environment("two_step_game").evaluation(evaluation_duration="auto")
    with pytest.raises(ValueError, match="evaluation_duration=auto"):
        config.validate()
    config.experimental(_validate_config=False).validate()
    with pytest.raises(ValueError, match="gamma must lie"):
        config.training(gamma=2.0).validate()


def test_callbacks_of_the_algorithm(tmp_path):
    called = []
    config = QMIXConfig().environment("two_step_game").update_from_dict(TINY)
    config.callbacks(
        on_algorithm_init=lambda **kwargs: called.append("init"),
        on_evaluate_start=lambda **kwargs: called.append("start"),
        on_evaluate_end=lambda *, evaluation_metrics, **kwargs: called.append(
            evaluation_metrics["env_runners"]["num_episodes"]
        ),
        on_checkpoint_loaded=lambda **kwargs: called.append("loaded"),
    )
    algorithm = config.build_algo()
    algorithm.train()
    algorithm.restore(algorithm.save(str(tmp_path)).checkpoint.path)
    assert called == ["init", "start", 5, "loaded"]
    algorithm.stop()


@pytest.mark.slow
def test_an_env_runner_that_dies_is_started_again(tmp_path):
    recreated = []
    algorithm = build(
        "QMIX",
        callbacks_on_env_runners_recreated=lambda **kwargs: recreated.append("once"),
        **SCRIPTED | {"env": "troubled", "env_config": {"die": str(tmp_path / "die")}},
        num_env_runners=1,
        evaluation_interval=0,
        restart_failed_env_runners=True,
        max_num_env_runner_restarts=5,
        delay_between_env_runner_restarts_s=0.0,
        env_runner_health_probe_timeout_s=1.0,
        env_runner_restore_timeout_s=30.0,
        num_consecutive_env_runner_failures_tolerance=100,
        min_sample_timesteps_per_iteration=10,
    )
    (tmp_path / "die").touch()  # not before: one that dies in its constructor Ray itself repeats
    result = algorithm.train()
    assert result["env_runners"]["num_episodes_lifetime"] > 0
    assert recreated == ["once"]  # on_env_runners_recreated
    assert result["fault_tolerance"]["num_remote_worker_restarts"] == 1
    algorithm.stop()


@pytest.mark.slow
def test_one_that_dies_is_gone_or_ends_the_run(tmp_path):
    dying = SCRIPTED | {"env": "troubled", "env_config": {"die": str(tmp_path / "die")}}
    dying |= {"restart_failed_env_runners": False, "evaluation_interval": 0}
    algorithm = build("QMIX", **dying, num_env_runners=2, ignore_env_runner_failures=True)
    (tmp_path / "die").touch()
    result = algorithm.train()
    assert result["fault_tolerance"]["num_healthy_workers"] == 1
    algorithm.stop()


@pytest.mark.skipif(torch.cuda.is_available(), reason="refuses a GPU that is not there")
def test_a_gpu_that_is_not_there_is_refused_at_build():
    with pytest.raises(ValueError, match="num_gpus_per_learner is 1 and local_gpu_idx 0, but"):
        build("QMIX", num_gpus_per_learner=1, local_gpu_idx=0)


@pytest.mark.skipif(torch.cuda.device_count() < 1, reason="needs a GPU")
def test_local_gpu_idx():
    algorithm = build("QMIX", num_gpus_per_learner=1, local_gpu_idx=0)
    assert np.isfinite(algorithm.train()["learners"]["default_policy"]["total_loss"])
    assert algorithm.learner_group._learner._device == torch.device(0)
    algorithm.stop()


@pytest.mark.slow
def test_torch_ddp_kwargs():
    algorithm = build("QMIX", num_learners=2, torch_ddp_kwargs={"find_unused_parameters": True})
    asked = algorithm.learner_group.foreach_learner(
        lambda learner: learner.module["default_policy"].find_unused_parameters
    )
    assert [result.get() for result in asked] == [True, True]
    assert np.isfinite(algorithm.train()["learners"]["default_policy"]["total_loss"])
    algorithm.stop()
