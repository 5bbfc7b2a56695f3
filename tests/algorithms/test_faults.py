"""Envs that raise, hang or never end, and env runners that are lost: what training does."""

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest
from ray.exceptions import RayActorError
from ray.rllib.callbacks.callbacks import RLlibCallback

from rllib_qatten import QMIXConfig
from rllib_qatten.envs import EngineFailed, EnvFailed
from tests.teams import ScriptedBattle

pytestmark = pytest.mark.usefixtures("ray_session")


class Faulty(ScriptedBattle):
    """Does `fault` ("raise", "hang", "exit") in every `every`-th step from step 300 of its life on.

    With `only` that is an index of an env runner, the others play on; with `once` a path, only if
    no file is there, and it is there thereafter.
    """

    def __init__(self, config=None):
        self.fault = {"fault": "raise", "every": 20, "only": None, "once": None}
        self.fault |= {k: v for k, v in (config or {}).items() if k in self.fault}
        super().__init__({k: v for k, v in (config or {}).items() if k not in self.fault})
        only = self.fault["only"]
        self.faulty = only is None or getattr(config, "worker_index", 0) == only
        self.life = 0

    def step(self, action_dict):
        self.life += 1
        if self.faulty and self.life >= 300 and self.life % self.fault["every"] == 0:
            once = self.fault["once"]
            if once is None or not os.path.exists(once):
                if once is not None:
                    with open(once, "w"):
                        pass
                self.do(self.fault["fault"])
        return super().step(action_dict)

    def do(self, fault):
        if fault == "raise":
            raise ConnectionError("simulator lost")
        if fault == "exit":
            os._exit(7)
        time.sleep(600)


def build(runners=0, restart=False, evaluation=None, env=Faulty, callbacks=None, **config):
    env_config = {"lengths": [3, 4], **config.pop("env_config", {})}
    faults = {k: v for k, v in config.items() if "env_runner" in k}
    built = (
        QMIXConfig()
        .environment(env, env_config=env_config)
        .env_runners(
            num_env_runners=runners,
            num_envs_per_env_runner=2,
            sample_timeout_s=config.get("sample_timeout_s", 60.0),
        )
        .training(train_batch_size_episodes=4, replay_capacity_episodes=50, hidden_size=8)
        .evaluation(evaluation_duration=4, evaluation_interval=None)
        .fault_tolerance(
            restart_failed_sub_environments=restart,
            delay_between_env_runner_restarts_s=0.1,
            **faults,
        )
        .reporting(min_sample_timesteps_per_iteration=config.get("steps", 400))
        .debugging(seed=1)
    )
    if evaluation is not None:
        built.evaluation(evaluation_interval=1, **evaluation)
    if callbacks is not None:
        built.callbacks(callbacks)
    return built.build_algo()


def train(algorithm):
    for _ in range(99):
        algorithm.train()


@pytest.mark.parametrize(
    "leave",
    [
        pytest.param({"restart": True}, id="set"),
        pytest.param({"runners": 1}, id="remote", marks=pytest.mark.slow),
    ],
)
def test_games_of_envs_made_anew_are_dropped_and_counted(leave):
    algorithm = build(**leave)
    totals = {"game_restarts": 0, "games_dropped": 0, "num_episodes": 0}
    kept = []
    add = algorithm.replay.add
    algorithm.replay.add = lambda episodes: (kept.extend(episodes), add(episodes))
    for _ in range(3):
        result = algorithm.train()
        for key in totals:
            totals[key] += result["env_runners"][key]
        # Their returns and wins are in no mean.
        assert 3 <= result["env_runners"]["episode_return_mean"] <= 4
        assert result["env_runners"]["win_rate"] == 1
    algorithm.stop()
    # 600 steps a game; each env fails in its step 300, the first one counts the 200 of its check.
    assert totals["game_restarts"] == totals["games_dropped"] == 4
    assert totals["num_episodes"] == sum(not episode.dropped for episode in kept)
    assert sum(episode.dropped for episode in kept) <= 4  # one without a step is no episode
    assert all(not e.terminated and e.won is None for e in kept if e.dropped)


def test_an_evaluation_has_its_games_whatever_fails():
    algorithm = build(restart=True, env_config={"every": 20}, steps=20, evaluation={})
    for env in algorithm.eval_env_runner.env.envs:
        env.life = 298
    played = algorithm.evaluate()["env_runners"]
    algorithm.stop()
    assert played["num_episodes"] == 4
    assert played["games_dropped"] == 2
    assert played["episode_return_mean"] == 3.5


@pytest.mark.parametrize("runners", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_without_leave_the_error_ends_training(runners):
    algorithm = build(runners, restart_failed_env_runners=False)
    with pytest.raises(EnvFailed) as caught:
        train(algorithm)
    algorithm.stop()
    assert "scripted battle raised ConnectionError: simulator lost (" in str(caught.value)
    assert "restart_failed_sub_environments" in str(caught.value)
    if runners:
        (note,) = caught.value.__notes__
        assert note.startswith("In env runner 1:\n")
        assert 'raise ConnectionError("simulator lost")' in note


class Unbuilt(ScriptedBattle):
    """Cannot be made in the env runners whose indices `unbuilt` lists."""

    def __init__(self, config=None):
        if getattr(config, "worker_index", 0) in config["unbuilt"]:
            if config.get("exits"):
                os._exit(7)
            raise ConnectionError("no licence left")
        super().__init__({k: v for k, v in config.items() if k not in ("unbuilt", "exits")})


@pytest.mark.slow
@pytest.mark.parametrize("unbuilt", [[1, 2], [2]])
def test_a_runner_that_cannot_be_built_ends_it_with_the_reason(unbuilt):
    with pytest.raises(EngineFailed) as caught:
        build(2, env=Unbuilt, env_config={"unbuilt": unbuilt})
    message = str(caught.value)
    assert message.startswith(
        f"{len(unbuilt)} of 2 env runners could not be built; number {unbuilt[0]}: Unbuilt raised "
        "ConnectionError: no licence left"
    )


@pytest.mark.slow
def test_a_runner_whose_process_ends_whenever_it_is_built_ends_it_too():
    before = set(Path(tempfile.gettempdir()).glob("rllib_qatten_env_runner_*"))
    with pytest.raises(
        EngineFailed, match="number 2: the process of env runner 2 has ended 3 times"
    ):
        build(2, env=Unbuilt, env_config={"unbuilt": [2], "exits": True})
    assert set(Path(tempfile.gettempdir()).glob("rllib_qatten_env_runner_*")) <= before


@pytest.mark.slow
def test_the_others_go_on_where_that_was_asked_for(capfd):
    algorithm = build(
        2, env=Unbuilt, env_config={"unbuilt": [2]}, restart_failed_env_runners=False,
        ignore_env_runner_failures=True,
    )  # fmt: skip
    assert algorithm.train()["env_runners"]["win_rate"] == 1
    algorithm.stop()
    assert "1 of 2 env runners could not be built" in capfd.readouterr().err


@pytest.mark.slow
def test_so_does_one_in_a_remote_evaluation():
    algorithm = build(
        evaluation={"evaluation_num_env_runners": 1, "evaluation_duration": 200},
        restart_failed_env_runners=False,
    )
    with pytest.raises(EnvFailed, match="simulator lost"):
        algorithm.train()
    algorithm.stop()


class Mistaken(RLlibCallback):
    def on_episode_end(self, *, episode, **kwargs):
        episode.no_such_thing()


@pytest.mark.slow
def test_so_does_a_mistake_in_a_callback():
    algorithm = build(1, callbacks=Mistaken)
    with pytest.raises(AttributeError, match="no_such_thing"):
        algorithm.train()
    algorithm.stop()


class Recreated(RLlibCallback):
    seen: list = []  # noqa: RUF012

    def on_env_runners_recreated(
        self, *, algorithm, env_runner_group, env_runner_indices, is_evaluation, **kwargs
    ):
        self.seen.append((env_runner_indices, is_evaluation))


def until_restarted(algorithm, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = algorithm.train()
        if result["fault_tolerance"]["num_remote_worker_restarts"]:
            return result
    raise AssertionError("no env runner was restarted")


@pytest.mark.slow
def test_a_runner_that_hangs_is_restarted(tmp_path):
    Recreated.seen.clear()
    once = str(tmp_path / "hung")
    algorithm = build(
        2, env_config={"fault": "hang", "once": once}, sample_timeout_s=6.0, callbacks=Recreated
    )
    started = time.monotonic()
    result = until_restarted(algorithm)
    assert time.monotonic() - started < 60
    assert os.path.exists(once)
    assert Recreated.seen == [([index], False) for ([index], _) in Recreated.seen]
    before = result["num_env_steps_sampled_lifetime"]
    result = algorithm.train()
    algorithm.stop()
    assert result["fault_tolerance"]["num_healthy_workers"] == 2
    assert result["num_env_steps_sampled_lifetime"] >= before + 400


@pytest.mark.slow
def test_runners_that_always_hang_end_training():
    algorithm = build(
        1, env=AlwaysHangs, sample_timeout_s=1.0, restart_failed_env_runners=True, steps=50
    )
    with pytest.raises(EngineFailed, match=r"No env runner has brought a game for \d+ s.*raise it"):
        algorithm.train()
    algorithm.stop()


class AlwaysHangs(ScriptedBattle):
    def step(self, action_dict):
        if self.game >= 60 and self.t == 1:  # after the check
            time.sleep(600)
        return super().step(action_dict)


@pytest.mark.slow
def test_a_killed_runner_comes_back():
    Recreated.seen.clear()
    algorithm = build(2, env_config={"every": 10**9}, callbacks=Recreated)
    algorithm.train()
    pid, _ = algorithm.env_runner_group.foreach_env_runner(
        lambda runner: os.getpid(), local_env_runner=False
    )
    os.kill(pid, signal.SIGKILL)
    result = until_restarted(algorithm)
    algorithm.stop()
    assert result["fault_tolerance"]["num_remote_worker_restarts"] == 1
    assert Recreated.seen == [([1], False)]


@pytest.mark.slow
def test_runners_that_may_not_come_back_are_done_without():
    algorithm = build(
        2, env_config={"only": 1}, restart_failed_env_runners=False,
        ignore_env_runner_failures=True,
    )  # fmt: skip
    for _ in range(6):
        result = algorithm.train()
    algorithm.stop()
    assert result["fault_tolerance"]["num_healthy_workers"] == 1
    assert result["fault_tolerance"]["num_remote_worker_restarts"] == 0


@pytest.mark.slow
def test_a_runner_that_may_not_be_lost_ends_training():
    algorithm = build(
        2, env_config={"only": 1, "fault": "exit"}, restart_failed_env_runners=False,
        ignore_env_runner_failures=False,
    )  # fmt: skip
    with pytest.raises(RayActorError, match="actor"):
        train(algorithm)
    algorithm.stop()


@pytest.mark.slow
def test_runners_that_are_all_gone_end_training():
    algorithm = build(
        1, env_config={"fault": "exit"}, restart_failed_env_runners=True,
        max_num_env_runner_restarts=1,
    )  # fmt: skip
    with pytest.raises(EngineFailed, match=r"All env runners \(1\) have ended"):
        train(algorithm)
    algorithm.stop()
