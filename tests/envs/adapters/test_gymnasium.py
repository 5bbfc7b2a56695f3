"""Gymnasium environments with Tuple spaces: a small one, LBF and RWARE."""

import gymnasium as gym
import numpy as np
import pytest

from rllib_qatten.envs import TeamContractError, check_env, env_creator, make_teams


class Duet(gym.Env):
    """Two agents with different sizes; pays the sum of their actions to each, for three steps."""

    observation_space = gym.spaces.Tuple([gym.spaces.Box(0, 9, (1,)), gym.spaces.Box(0, 9, (2,))])
    action_space = gym.spaces.Tuple([gym.spaces.Discrete(2), gym.spaces.Discrete(3)])

    def _seen(self):
        return [np.array([self.t]), np.array([self.t, 9])]

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self._seen(), {}

    def step(self, action):
        self.t += 1
        reward = float(sum(action))
        return self._seen(), [reward, reward], False, self.t == 3, {}


def test_tuples_become_agents():
    check_env(Duet())
    teams = make_teams(lambda config: Duet(), {}, 1)
    assert teams.spec.agents == ("agent_0", "agent_1")
    assert (teams.spec.state_source, teams.spec.engine) == ("observations", "Duet")
    view = teams.reset()
    np.testing.assert_array_equal(view.observations[0], [[0, 0], [0, 9]])
    np.testing.assert_array_equal(view.legal_actions[0], [[1, 1, 0], [1, 1, 1]])
    steps = [teams.step(np.array([[1, 2]])) for _ in range(3)]
    assert [step.rewards[0] for step in steps] == [3, 3, 3]
    assert [step.truncated[0] for step in steps] == [False, False, True]
    np.testing.assert_array_equal(steps[2].final.observations[0], [[3, 0], [3, 9]])
    np.testing.assert_array_equal(steps[2].view.observations[0], [[0, 0], [0, 9]])


def gymnasium(**config):
    return env_creator("gymnasium")(config)


def test_a_time_limit_of_gymnasium_cuts_off():
    gym.register("Duet-v0", Duet, max_episode_steps=2)
    teams = make_teams("gymnasium", {"id": "Duet-v0"}, 1)
    assert (teams.spec.episode_limit, teams.spec.engine) == (2, "Duet-v0")
    teams.reset()
    assert [teams.step(np.array([[0, 0]])).truncated[0] for _ in range(2)] == [False, True]
    assert gymnasium(id="Duet-v0", max_episode_steps=1).episode_limit == 1


@pytest.mark.parametrize(
    ("config", "error", "says"),
    [
        ({}, ValueError, r"env_config\.id must be a gymnasium id.*got None"),
        ({"id": "CartPole-v1"}, TeamContractError, "CartPoleEnv.*for one agent.*Discrete"),
        ({"id": "CartPol-v1"}, gym.error.Error, "Did you mean: `CartPole`"),
        ({"id": "no_such_module:Foraging-v3"}, ModuleNotFoundError, "No module 'no_such_module'"),
    ],
)
def test_bad_settings(config, error, says):
    with pytest.raises(error, match=f"(?s){says}"):
        gymnasium(**config)


@pytest.mark.parametrize(
    ("name", "settings", "agents", "actions", "limit"),
    [
        ("lbforaging:Foraging-8x8-2p-3f-v3", {}, 2, 6, 50),
        ("rware:rware-tiny-2ag-v2", {"max_steps": 40}, 2, 5, 40),
    ],
)
def test_lbf_and_rware_are_the_envs_themselves(name, settings, agents, actions, limit):
    package = name.partition(":")[0]
    pytest.importorskip(package, reason="the extra envs is not installed")
    teams = make_teams("gymnasium", {"id": name, **settings}, 2, "sum")
    spec = teams.spec
    assert (spec.n_agents, spec.n_actions, spec.episode_limit) == (agents, actions, limit)
    assert package in spec.engine
    view = teams.reset(5)
    alone = gym.make(name, disable_env_checker=True, **settings)
    seen, _ = alone.reset(seed=int(np.random.SeedSequence(5).generate_state(2)[1]))
    rng = np.random.default_rng(0)
    for _ in range(limit):
        np.testing.assert_array_equal(view.observations[1], seen)
        np.testing.assert_array_equal(view.state[1], np.concatenate(seen))
        joint = rng.integers(actions, size=(2, agents))
        seen, rewards, terminated, truncated, _ = alone.step(tuple(joint[1].tolist()))
        step = teams.step(joint)
        assert step.rewards[1] == np.float32(sum(rewards))
        assert (step.terminated[1], step.truncated[1]) == (terminated, truncated)
        view = step.view
        if terminated:
            break
    assert terminated
