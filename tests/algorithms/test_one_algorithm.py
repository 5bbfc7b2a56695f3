"""What all algorithms share, shown by one of them."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.tune.logger.tensorboardx import TBXLoggerCallback
from ray.tune.registry import register_env

from rllib_qatten import ALGORITHMS, TeamPolicy, keys
from rllib_qatten.checkpoints.folder import CheckpointError
from tests.algorithms.tiny import assert_equal, build, weights
from tests.teams import ScriptedBattle

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(autouse=True, scope="module")
def _scripted_battle():
    register_env("scripted_battle", ScriptedBattle)


def test_tensorboard_gets_what_one_watches(tmp_path):
    """The tags that Tune's logger writes while a team trains."""
    algorithm = build("Qatten", "scripted_battle")

    class Trial:
        local_path, evaluated_params = str(tmp_path), None

        def init_local_path(self):
            pass

    logger, trial = TBXLoggerCallback(), Trial()
    logger.log_trial_start(trial)
    logger.log_trial_result(1, trial, algorithm.train())
    logger.log_trial_end(trial)
    algorithm.stop()
    (file,) = tmp_path.glob("events.out.tfevents*")
    written = file.read_bytes()
    learner = "learners/default_policy"
    for key in (
        "env_runners/win_rate", "evaluation/env_runners/win_rate", "env_steps_per_second",
        "updates_per_second", f"{learner}/head_0_entropy", f"{learner}/effective_weight_mean",
        f"{learner}/effective_weight_std", f"{learner}/agent_1_effective_weight",
    ):  # fmt: skip
        assert f"ray/tune/{key}".encode() in written, key


def test_standardized_rewards_are_counted_and_restored(tmp_path, capfd):
    algorithm = build("QMIX", standardize_rewards=True, returns="n_step", n_step=2)
    assert "takes the mean of all rewards away" in capfd.readouterr().err
    algorithm.train()
    seen = weights(algorithm)
    assert seen["standardize_rewards.count"] > 100
    assert 0 < seen["standardize_rewards.mean"] < 8  # 0 and at most 8 are the game's rewards
    restored = Algorithm.from_checkpoint(algorithm.save_to_path(tmp_path / "checkpoint"))
    assert_equal(seen, weights(restored))
    algorithm.stop()
    restored.stop()


def test_win_rates_are_exact():
    """Slots play fixed shares, so that short games are not favoured."""
    config = {"lengths": [1, 9], "wins": [True, False]}
    algorithm = build(
        "Qatten", "scripted_battle", env_config=config, evaluation_duration=10,
        num_envs_per_env_runner=3,
    )  # fmt: skip
    result = algorithm.train()
    # Shares 4, 3, 3 of games that alternate win and loss from each evaluation's first game on.
    games = result["evaluation"]["env_runners"]
    assert games["num_episodes"] == 10
    assert games["win_rate"] == pytest.approx((2 + 2 + 2) / 10)
    assert games["episode_len_mean"] == pytest.approx((6 * 1 + 4 * 9) / 10)
    exploring = result["env_runners"]
    assert 0.4 < exploring["win_rate"] < 0.7
    assert exploring["epsilon"] > 0.9
    algorithm.stop()


@pytest.mark.parametrize(
    ("runners", "games"), [(0, 1), (0, 5), pytest.param(2, 2, marks=pytest.mark.slow)]
)
def test_updates_per_episode_holds_for_any_number_of_runners(runners, games):
    algorithm = build(
        "VDN", num_env_runners=runners, num_envs_per_env_runner=games,
        updates_per_episode=0.5, train_batch_size_episodes=2,
    )  # fmt: skip
    result = algorithm.train()
    episodes = result["env_runners"]["num_episodes_lifetime"]
    warm_up = max(2, games * max(1, runners))
    assert abs(result["num_updates_lifetime"] - 0.5 * episodes) <= 0.5 * warm_up + 1
    algorithm.stop()


def test_learners_numbers_are_means_over_all_updates():
    algorithm = build("QMIX", updates_per_episode=0.4)  # so 1 or 2 in a round of 4 games
    learner, told = algorithm.learner_group._learner, []
    loss = learner.loss

    def listened(*args):
        value, numbers = loss(*args)
        told.append(float(numbers["td_error_abs"]))
        return value, numbers

    learner.loss = listened
    for _ in range(2):
        told.clear()
        result = algorithm.train()["learners"]["default_policy"]
        assert len(told) > 5
        assert result["td_error_abs"] == pytest.approx(np.mean(told), rel=1e-6)
    algorithm.stop()


def test_remote_runners_get_the_weights_and_follow_epsilon():
    algorithm = build("QMIX", num_env_runners=1, epsilon=[[0, 1], [100, 0.25]])
    for _ in range(2):
        result = algorithm.train()
    assert result["env_runners"]["epsilon"] == 0.25

    def agent_weights(runner):
        return {k: v for k, v in runner.module.get_state().items() if k.startswith("agent")}

    learned = {k: v for k, v in weights(algorithm).items() if k.startswith("agent")}
    algorithm.env_runner_group.sync_weights(
        from_worker_or_learner_group=algorithm.learner_group, inference_only=True,
        timeout_seconds=None,
    )  # fmt: skip
    for remote in algorithm.env_runner_group.foreach_env_runner(
        agent_weights, local_env_runner=False
    ):
        assert_equal(learned, remote)
    algorithm.stop()


@pytest.mark.parametrize("runners", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("broken", "says"),
    [("rewards", r"scripted battle.*rewards at step 1"), ("observations", r"observations at step")],
)
def test_nan_from_the_env_stops_training(broken, says, runners):
    class Later(ScriptedBattle):
        """Breaks only after the checker has looked."""

        def step(self, action_dict):
            self.config["break_at"] = 2 if self.game > 60 else None
            return super().step(action_dict)

    register_env("breaks_later", Later)
    algorithm = build(
        "VDN", "breaks_later", env_config={"lengths": [5], "break_at": 2, "broken": broken},
        num_env_runners=runners, min_sample_timesteps_per_iteration=1000,
    )  # fmt: skip
    with pytest.raises(FloatingPointError, match=says):
        [algorithm.train() for _ in range(9)]
    algorithm.stop()


def test_nan_in_the_loss_stops_training():
    algorithm = build("VDN")
    algorithm.train()
    before = weights(algorithm)
    module = algorithm.learner_group._learner.module["default_policy"]
    with torch.no_grad():
        module.target_agent.head.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="target_mean"):
        algorithm.train()
    after = weights(algorithm)
    assert_equal(
        {k: v for k, v in before.items() if k.startswith("agent")},
        {k: v for k, v in after.items() if k.startswith("agent")},
    )
    algorithm.stop()


@pytest.mark.parametrize("factor", [float("inf"), float("nan"), 1e30])
@pytest.mark.parametrize("clip", [{}, {"grad_clip": None}, {"grad_clip_by": "value"}])
def test_a_gradient_that_is_not_finite_stops_training(factor, clip):
    """RLlib would set such gradients to other numbers, and RMSprop would keep them for good."""
    algorithm = build("VDN", **clip)
    algorithm.train()
    module = algorithm.learner_group._learner.module["default_policy"]
    module.agent.head.bias.register_hook(lambda gradient: gradient * factor)
    before = weights(algorithm)
    with pytest.raises(FloatingPointError, match=r"norm of the gradient became (inf|nan)"):
        algorithm.train()
    assert_equal(before, weights(algorithm))
    algorithm.stop()


def test_another_trial_in_the_same_process_begins_with_no_updates_due():
    """A game is worth three tenths of an update: due are 0.3, 0.6, 0.9, 1.2 ..."""
    algorithm = build("VDN", updates_per_episode=0.3, min_sample_timesteps_per_iteration=1,
                      num_envs_per_env_runner=1, train_batch_size_episodes=1)  # fmt: skip

    def updates():
        return [algorithm.train()[keys.NUM_UPDATES] for _ in range(5)]

    fresh = updates()
    assert len(set(fresh)) > 1
    algorithm.reset_config(algorithm.config.to_dict())
    assert updates() == fresh
    algorithm.stop()


def test_targets_follow_by_episodes_or_softly():
    def gap(**settings):
        algorithm = build("VDN", **settings)
        algorithm.train()
        state = weights(algorithm)
        algorithm.stop()
        return np.abs(state["agent.head.weight"] - state["target_agent.head.weight"]).max()

    assert gap(target_update_episodes=1, updates_per_episode=0.25) == 0  # one update a round
    never = gap(target_update_episodes=10**6)
    assert 0 < gap(tau=0.1) < never


def test_evaluations_are_never_reported_twice():
    algorithm = build("VDN", evaluation_interval=2)
    returns = [algorithm.train()["evaluation"]["env_runners"] for _ in range(4)]
    assert [np.isnan(r["episode_return_mean"]) for r in returns] == [True, False, True, False]
    assert [r["num_episodes"] == 5 for r in returns] == [False, True, False, True]
    algorithm.stop()


def test_a_built_algorithms_settings_build_another():
    algorithm = build("VDN", recipe="smax", agent="recurrent", lr=0.01)
    settings = algorithm.config.to_dict()
    algorithm.stop()
    other = ALGORITHMS["VDN"](config=settings)
    other.stop()
    assert (other.config.recipe, other.config.lr) == ("smax", 0.01)
    for given in ({"framework_str": "torch"}, {"framework": "torch"}):
        ALGORITHMS["VDN"](config={"env": "two_step_game", **given}).stop()


def test_the_step_count_survives_its_state():
    algorithm = build("VDN")
    algorithm.train()
    runner = algorithm.env_runner
    before = runner.num_env_steps_sampled_lifetime
    assert before >= 60
    algorithm.set_state(algorithm.get_state())
    assert runner.num_env_steps_sampled_lifetime == before
    algorithm.stop()


def test_a_checkpoint_from_before_a_class_moved_says_what_to_do(tmp_path):
    algorithm = build("VDN")
    path = Path(algorithm.save_to_path(tmp_path / "old"))
    algorithm.stop()
    arguments = path / "class_and_ctor_args.pkl"
    saved = pickle.loads(arguments.read_bytes())
    text = pickle.dumps(saved, protocol=0).replace(
        b"rllib_qatten.rollout.env_runner", b"rllib_qatten.rollout.where_it_was"
    )
    sums = path / "SHA256SUMS"
    before = hashlib.sha256(arguments.read_bytes()).hexdigest()
    assert before in sums.read_text()
    sums.write_text(sums.read_text().replace(before, hashlib.sha256(text).hexdigest()))
    arguments.write_bytes(text)
    with pytest.raises(CheckpointError, match=r"older rllib_qatten.*TeamPolicy.from_checkpoint"):
        ALGORITHMS["VDN"].from_checkpoint(path)
    assert TeamPolicy.from_checkpoint(path)
