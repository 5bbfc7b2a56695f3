"""Training on StarCraft II through the real package `smac`: run with `pytest -m sc2`."""

import numpy as np
import pytest
from ray.rllib.algorithms.algorithm import Algorithm

from rllib_qatten import TeamPolicy
from rllib_qatten.envs import make_smac
from rllib_qatten.envs.battles import sc2_install
from rllib_qatten.errors import BadInput
from tests.algorithms import tiny as every

pytestmark = [pytest.mark.sc2, pytest.mark.usefixtures("ray_session")]

TINY = {
    "num_envs_per_env_runner": 1,
    "min_sample_timesteps_per_iteration": 100,
    "train_batch_size_episodes": 2,
    "updates_per_episode": 1.0,
    "evaluation_duration": 1,
    "layer_norm": True,
}


def spec_of(map_name):
    return make_smac({"map_name": map_name, "engine": "sc2"}).vectorize(1).spec


@pytest.mark.parametrize("map_name", ["MMM2", "2c_vs_64zg", "terran_5_vs_5"])
def test_units_as_sets_train_save_and_restore(map_name, tmp_path):
    for problem in sc2_install.problems(map_name):
        pytest.skip(f"{problem.what}; {problem.fix}")
    env = {"map_name": map_name, "engine": "sc2"}
    algorithm = every.build("Qatten", "smac", env_config=env, agent="entity", **TINY)
    for _ in range(3):
        result = algorithm.train()
    assert np.isfinite(result["learners"]["default_policy"]["total_loss"])
    assert result["num_updates_lifetime"] > 0
    path = algorithm.save_to_path(tmp_path / "checkpoint")
    restored = Algorithm.from_checkpoint(path)
    every.assert_equal(every.weights(algorithm), every.weights(restored))
    team = TeamPolicy.from_checkpoint(path)
    view = algorithm.env_runner.env.reset()
    actions = team.act(view.observations, view.legal_actions)
    assert np.take_along_axis(view.legal_actions, actions[..., None], -1).all()
    algorithm.stop()
    restored.stop()
    if map_name != "MMM2":
        return
    assert team.fitted(spec_of("MMM")).network.layout.n_agents == 10
    with pytest.raises(
        BadInput, match=r"'MMM type 0'.* only there and 'shield', 'stalkers_and_zealots type 0'"
    ):
        team.fitted(spec_of("3s5z"))
    with pytest.raises(BadInput, match=r"only there and .* only here"):
        team.fitted(make_smac({"map_name": "3m", "engine": "smax"}).vectorize(1).spec)
