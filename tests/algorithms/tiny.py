"""Algorithms small enough to be built and trained by the dozen."""

import numpy as np

from rllib_qatten import ALGORITHMS
from tests.settings import those_of

TINY = {
    "num_envs_per_env_runner": 4,
    "min_sample_timesteps_per_iteration": 60,
    "train_batch_size_episodes": 8,
    "replay_capacity_episodes": 50,
    "evaluation_duration": 5,
    "hidden_size": 16,
    "mixing_embed_dim": 8,
    "hypernet_embed": 8,
    "seed": 1,
}


def build(name, env="two_step_game", **settings):
    config = ALGORITHMS[name].get_default_config()
    tiny = those_of(name, TINY)
    return config.update_from_dict({"env": env, **tiny, **settings}).build_algo()


def weights(algorithm):
    state = algorithm.learner_group.get_state()["learner"]["rl_module"]["default_policy"]
    return {name: np.array(value) for name, value in state.items()}


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
