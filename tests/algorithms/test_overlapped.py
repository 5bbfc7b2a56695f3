"""Games of the next updates are played while the learner works."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from ray.tune.registry import register_env

from tests.algorithms.tiny import build, weights
from tests.checkpoints.resuming import fingerprint, numbers
from tests.checkpoints.test_resume import assert_equal
from tests.teams import ScriptedBattle

# Each starts processes that play.
pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.slow]

ROUND = 4  # games
OVERLAPPED = {"num_env_runners": 1, "num_envs_per_env_runner": ROUND, "sampling": "overlapped"}
PARALLEL = OVERLAPPED | {"evaluation_num_env_runners": 1, "evaluation_parallel_to_training": True}


def trained(name="QMIX", iterations=2, **settings):
    """The last result's numbers, and all that a run ends with."""
    algorithm = build(name, **settings)
    for _ in range(iterations):
        result = algorithm.train()
    ends = numbers(result), fingerprint(algorithm)
    algorithm.stop()
    return ends


def test_a_run_can_be_repeated_and_differs_from_lockstep():
    settings = OVERLAPPED | {"replay": "prioritized"}
    first, second = trained(**settings), trained(**settings)
    assert_equal(first, second)
    lockstep = trained(**settings | {"sampling": "lockstep"})
    with pytest.raises(AssertionError):
        assert_equal(first[1]["weights"], lockstep[1]["weights"])


@pytest.mark.parametrize("sampling", ["lockstep", "overlapped"])
def test_updates_per_game_are_those_of_lockstep_one_round_later(sampling):
    algorithm = build("Qatten", **OVERLAPPED | {"sampling": sampling, "updates_per_episode": 1.3})
    late = ROUND if sampling == "overlapped" else 0
    for _ in range(3):
        result = algorithm.train()
        games = result["env_runners"]["num_episodes_lifetime"]
        # Games earn updates from the round on that fills the first batch of 8: the second.
        assert result["num_updates_lifetime"] == int(1.3 * (games - late - ROUND) + 1e-9)
        # No round earned more than 6 updates, and some did.
        assert result["staleness"] == (6 if late else 0)
    algorithm.stop()


@pytest.mark.parametrize("name", ["Qatten", "QTRAN", "WQMIX"])  # the three losses
def test_losses_of_the_family(name):
    result, _ = trained(name, iterations=1, **OVERLAPPED)
    assert result["/num_updates_lifetime"] > 20
    assert result["/staleness"] == ROUND
    assert result["/evaluation/env_runners/num_episodes"] == 5


class Mortal(ScriptedBattle):
    """Its process ends, in the middle of a game, once a certain file is there."""

    def step(self, action_dict):
        kill = Path(self.config["kill"])
        if kill.exists():
            kill.unlink()
            os._exit(1)
        return super().step(action_dict)


@pytest.fixture(scope="module", autouse=True)
def _mortal():
    register_env("mortal", Mortal)


def test_training_goes_on_when_a_runner_dies_while_it_plays(tmp_path):
    kill = tmp_path / "kill"
    algorithm = build("VDN", "mortal", env_config={"kill": str(kill)}, **OVERLAPPED)
    before = 0
    for i in range(4):
        if i == 1:
            kill.touch()
        result = algorithm.train()
        assert not kill.exists()
        steps = result["num_env_steps_sampled_lifetime"]
        assert steps >= before + 60
        before = steps
        assert result["staleness"] == ROUND
    assert result["fault_tolerance"]["num_remote_worker_restarts"] == 1
    assert result["num_updates_lifetime"] > 50
    algorithm.stop()


def test_an_evaluation_whose_runner_died_is_not_the_last_one_again(tmp_path):
    kill = tmp_path / "kill"
    algorithm = build(
        "VDN", "mortal", env_config={"kill": "/no such file"}, **PARALLEL,
        evaluation_config={"explore": False, "env_config": {"kill": str(kill)}},
    )  # fmt: skip

    def games():
        return algorithm.train()["evaluation"]["env_runners"]["num_episodes"]

    assert games() == games() == 5
    kill.touch()
    assert np.isnan(games())
    assert not kill.exists()
    for _ in range(100):
        if games() == 5:
            break
        time.sleep(0.3)
    else:
        pytest.fail("no evaluation since its runner died")
    algorithm.stop()


def agent_weights(state):
    return {name: np.array(value) for name, value in state.items() if name.startswith("agent")}


def test_a_parallel_evaluation_plays_the_weights_that_its_iteration_began_with():
    algorithm = build("QMIX", **PARALLEL, evaluation_interval=2)
    algorithm._before_evaluate = lambda: time.sleep(0.5)  # training could be far ahead by then
    seen = []
    for _ in range(4):
        before = agent_weights(weights(algorithm))
        result = algorithm.train()
        seen.append(result["evaluation"]["env_runners"]["num_episodes"])
    [evaluated] = algorithm.eval_env_runner_group.foreach_env_runner(
        lambda runner: runner.module.get_state(), local_env_runner=False
    )
    assert_equal(agent_weights(evaluated), before)
    with pytest.raises(AssertionError):
        assert_equal(agent_weights(weights(algorithm)), before)
    np.testing.assert_array_equal(seen, [np.nan, 5, np.nan, 5])
    algorithm.stop()
