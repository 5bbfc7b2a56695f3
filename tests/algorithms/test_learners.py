"""Several learners in processes of their own."""

import os
import pickle
import signal

import numpy as np
import pytest
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.tune.registry import register_env
from ray.tune.utils import flatten_dict

from rllib_qatten import keys
from rllib_qatten.checkpoints import folder as checkpoint
from rllib_qatten.training.across_learners import from_all_learners
from tests.algorithms.tiny import assert_equal, build, weights
from tests.teams import ScriptedBattle

RAGGED = {
    "env": "scripted_battle",
    "env_config": {"lengths": [2, 9, 5, 1, 7]},
    "replay": "prioritized",
    "standardize_rewards": True,
    "num_cpus_per_learner": 0.5,
    "updates_per_episode": 1.0,
    "lr": [[0, 0.001], [200, 0.0001]],
}


def priorities(algorithm):
    return algorithm.replay.get_state()["priorities"]


def numbers(algorithm):
    """What the next iteration's result says, but of the clock."""
    result = flatten_dict(algorithm.train())
    return {
        k: result[k] for k in keys.KEYS if k in result and "second" not in k and "time" not in k
    }


@pytest.mark.slow
@pytest.mark.timeout(600)  # four processes that import torch, on a machine that may be busy
def test_two_learn_as_one_and_go_on_from_a_checkpoint(ray_session, tmp_path):
    register_env("scripted_battle", ScriptedBattle)
    one, two = (build("QMIX", num_learners=n, **RAGGED) for n in (0, 2))
    for algorithm in (one, two):
        result = algorithm.train()
    assert result["num_updates_lifetime"] > 5
    ours, theirs = weights(one), weights(two)
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], atol=1e-5, err_msg=name)
    # Each episode has got its own error, whichever learner had it.
    assert len(np.unique(priorities(one))) > 10
    np.testing.assert_allclose(priorities(one), priorities(two), rtol=1e-3)
    threads = two.learner_group.foreach_learner(lambda _: torch.get_num_threads())
    assert [r.get() for r in threads] == [1, 1]

    path = two.save_to_path(tmp_path / "checkpoint")
    checkpoint.assert_learner_wrote(tmp_path / "checkpoint")
    expected = numbers(two)
    after = weights(two)
    two.stop()
    again = Algorithm.from_checkpoint(path)
    assert numbers(again) == expected
    assert_equal(after, weights(again))
    # When one dies the other does not wait for it: the trial ends, and Tune may start it again.
    [*_, pid] = [r.get() for r in again.learner_group.foreach_learner(lambda _: os.getpid())]
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(RuntimeError):
        again.train()
    again.stop()
    # One learner takes it up as well.
    one.restore_from_path(path)
    one.train()
    for name, value in weights(one).items():
        np.testing.assert_allclose(value, after[name], atol=1e-5, err_msg=name)
    one.stop()


def test_a_learner_alone_hears_itself():
    numbers = torch.ones(3, requires_grad=True)
    assert from_all_learners(numbers).tolist() == [[1.0, 1.0, 1.0]]
    assert not from_all_learners(numbers).requires_grad


def test_what_a_learner_could_not_write_is_no_checkpoint(tmp_path):
    folder = tmp_path / "learner_group" / "learner"
    module = folder / "rl_module" / "default_policy" / "module_state.pkl"
    module.parent.mkdir(parents=True)
    for file in (folder / "state.pkl", module):
        with pytest.raises(OSError, match=f"could not write its .*{file.name}"):
            checkpoint.assert_learner_wrote(tmp_path)
        file.write_bytes(pickle.dumps(list(range(1000)))[:-9])  # a disk that was full
        with pytest.raises(OSError, match=f"could not write its .*{file.name}"):
            checkpoint.assert_learner_wrote(tmp_path)
        file.write_bytes(pickle.dumps(list(range(1000))))
    checkpoint.assert_learner_wrote(tmp_path)
