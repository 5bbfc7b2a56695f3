"""Gymnasium environments with Tuple spaces: a small one, LBF and RWARE."""

from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest

from rllib_qatten.agents import Entities
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


class Told(Duet):
    """Declares all that a team may, and answers in the ways that its config says."""

    entities: ClassVar = {
        "own": [(0, 1)],
        "teammates": {"start": 1, "count": 1, "size": 1},
        "enemies": {"start": 2, "count": 1, "size": 1},
    }
    is_battle, engine, unit_types, unit_features = True, "told 1.0", (1, 2), slice(0, 2)
    episode_limit = 9
    observation_space = gym.spaces.Tuple([gym.spaces.Box(0, 9, (3,))] * 2)
    action_space = gym.spaces.Tuple([gym.spaces.Discrete(2)] * 2)
    state_space = gym.spaces.Box(0, 9, (2,), np.float32)

    def __init__(self, **answers):
        self.answers = answers

    def _seen(self):
        return [np.full(3, self.t, np.float32)] * 2

    def step(self, action):
        seen, rewards, ended, cut, infos = super().step(action)
        given = dict(rewards=rewards, ended=ended, cut=cut, infos=infos) | self.answers.get(
            self.t, {}
        )
        return seen, *given.values()

    def state(self):
        return np.array([self.t, 7], np.float32)

    def get_state(self):
        return self.t

    def set_state(self, state):
        self.t = state


def told(**answers):
    """A vector of one game that answers so in its first step."""
    teams = make_teams(lambda config: Told(), {}, 1)
    teams.reset()
    teams.envs[0].unwrapped._env.answers = {1: answers}
    return teams


def test_what_the_env_declares_is_the_teams():
    teams = told()
    assert teams.spec.entities == Entities.read(Told.entities)
    told_of = {"is_battle": True, "engine": "told 1.0", "unit_types": (1, 2), "episode_limit": 9}
    told_of |= {"unit_features": slice(0, 2), "state_source": "env"}
    assert {name: getattr(teams.spec, name) for name in told_of} == told_of
    step = teams.step(np.zeros((1, 2), int))
    assert step.final.state[0].tolist() == [1, 7]
    other = told()
    other.set_state(teams.get_state())
    assert teams.get_state()[0].keys() == {"away", "steps", "get_state"}
    assert other.step(np.zeros((1, 2), int)).final.state[0].tolist() == [2, 7]


def test_in_gymnasiums_wrappers_its_time_limit_counts():
    gym.register("Told-v0", Told, max_episode_steps=2)
    teams = make_teams("gymnasium", {"id": "Told-v0"}, 1)
    assert (teams.spec.engine, teams.spec.episode_limit) == ("told 1.0", 2)
    teams.reset()
    teams.step(np.zeros((1, 2), int))
    assert "get_state" not in teams.get_state()[0]  # which does not know of the limit


@pytest.mark.parametrize("reward", [2, 2.0, np.float32(2), np.array(2.0), [2, 2]])
def test_a_single_reward_is_the_teams(reward):
    assert told(rewards=reward).step(np.zeros((1, 2), int)).rewards.tolist() == [2]


@pytest.mark.parametrize(
    ("ended", "cut", "terminated", "truncated"),
    [
        ([True, False], [False, True], False, True),
        (np.array([True, False]), [False, False], False, False),
        ([1, 1], False, True, False),
        ([False, False], [True, True], False, True),
        (True, True, True, False),
    ],
)
def test_the_game_ends_when_it_has_for_each_agent(ended, cut, terminated, truncated):
    step = told(ended=ended, cut=cut).step(np.zeros((1, 2), int))
    assert (step.terminated[0], step.truncated[0]) == (terminated, truncated)


def test_infos_may_be_one_dict_per_agent():
    infos = [{"action_mask": [0, 1], "alive": False}, {"action_mask": [1, 1]}]
    for given in (infos, tuple(infos)):
        step = told(infos=given).step(np.zeros((1, 2), int))
        assert step.final.legal_actions[0].tolist() == [[False, True], [True, True]]
        assert step.final.alive[0].tolist() == [False, True]


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"rewards": [1.0]}, "rewards are a list .*gymnasium env: one entry for each of 2 agents"),
        ({"infos": [{}]}, "infos are a list .*gymnasium env: one entry for each of 2 agents"),
        ({"ended": [True] * 3}, r"terminateds\['__all__'\] is \[True, True, True\]"),
        ({"cut": "no"}, r"truncateds\['__all__'\] is 'no' after step 1: set it to True or False"),
    ],
)
def test_answers_that_are_neither_are_refused(answers, says):
    with pytest.raises(TeamContractError, match=says):
        told(**answers).step(np.zeros((1, 2), int))
