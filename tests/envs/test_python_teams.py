from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs import MatrixGame, PythonTeams, TwoStepGame, check_env, make_teams
from tests.teams import ScriptedBattle


def legal(view):
    return view.legal_actions.argmax(-1)


def reseeded(seed):
    teams = PythonTeams([ScriptedBattle() for _ in range(3)])
    teams.reset(seed=seed)
    return teams._envs


def test_arrays_tell_the_games():
    configs = [
        {"lengths": [2], "wins": [True]},
        {"lengths": [3], "wins": [False], "deaths": [1]},
        {"lengths": [9], "limit": 2},
    ]
    teams = PythonTeams([ScriptedBattle(c) for c in configs])
    view = teams.reset(seed=7)
    assert teams.spec.state_source == "env"
    assert teams.spec.unit_feature_size == 2
    seeds = [env.seeds[0] for env in teams._envs]
    assert len(set(seeds)) == 3
    assert seeds != [env.seeds[0] for env in reseeded(8)]
    assert seeds == [env.seeds[0] for env in reseeded(7)]
    np.testing.assert_array_equal(view.observations[1], [[0, 0, 0], [0, 0, 1]])

    step = teams.step(legal(view))
    assert not step.done.any()
    assert step.final is step.view
    np.testing.assert_array_equal(step.rewards, [1, 1, 1])

    step = teams.step(legal(step.view))
    np.testing.assert_array_equal(step.terminated, [True, False, False])
    np.testing.assert_array_equal(step.truncated, [False, False, True])
    np.testing.assert_array_equal(step.won, [True, False, False])
    # The last view of an ended game is kept beside the first one of the next.
    np.testing.assert_array_equal(step.final.observations[0, 1], [0, 2, 1])
    np.testing.assert_array_equal(step.view.observations[0, 1], [1, 0, 1])
    np.testing.assert_array_equal(step.final.state[2], [1, 2, 1, 2, 0])
    np.testing.assert_array_equal(step.view.state[2], [1, 0, 1, 0, 1])
    # A dead agent has its one legal action and is not alive.
    np.testing.assert_array_equal(step.final.alive[1], [False, True])
    np.testing.assert_array_equal(step.final.legal_actions[1, 0], [True, False, False, False])


def test_unlike_agents_are_padded_and_masked():
    teams = PythonTeams([MatrixGame({"payoff": [[1, 2, 3], [4, 5, 6]]})])
    view = teams.reset()
    assert teams.spec.n_actions == 3
    np.testing.assert_array_equal(view.legal_actions[0], [[1, 1, 0], [1, 1, 1]])
    assert teams.step(np.array([[1, 2]])).rewards[0] == 6


def test_unit_types_are_the_envs():
    env = ScriptedBattle()
    assert PythonTeams([env]).spec.unit_types is None
    env.unit_types = np.array([4, 2], np.uint8)
    assert PythonTeams([env]).spec.unit_types == (4, 2)


class Uneven(ScriptedBattle):
    def step(self, action_dict):
        seen, _, *rest = super().step(action_dict)
        return seen, {"unit_0": 1.0, "unit_1": 2.0}, *rest


@pytest.mark.parametrize(("rule", "reward"), [("sum", 3.0), ("mean", 1.5)])
def test_team_reward(rule, reward):
    teams = PythonTeams([Uneven()], rule)
    assert teams.step(legal(teams.reset())).rewards[0] == reward


def test_unlike_rewards_need_a_rule():
    teams = PythonTeams([Uneven()])
    with pytest.raises(ValueError, match="team_reward: sum"):
        teams.step(legal(teams.reset()))


class Stateless(ScriptedBattle):
    state = None

    def __init__(self, config=None):
        super().__init__(config)
        self.unit_features = self.state_space = None

    def __getattribute__(self, name):
        if name == "state":
            raise AttributeError(name)
        return super().__getattribute__(name)


def test_without_a_state_the_observations_are_it():
    teams = PythonTeams([Stateless(), Stateless()])
    view = teams.reset()
    assert teams.spec.state_source == "observations"
    np.testing.assert_array_equal(view.state, view.observations.reshape(2, 6))
    assert teams.spec.unit_features is None


@pytest.mark.parametrize(
    ("first", "second", "reward"), [(0, (0, 1), 7), (1, (0, 0), 0), (1, (0, 1), 1), (1, (1, 1), 8)]
)
def test_two_step_game(first, second, reward):
    game = TwoStepGame()
    game.reset()
    _, rewards, over, _, _ = game.step({"agent_0": first, "agent_1": 1})
    assert (rewards["agent_0"], over["__all__"]) == (0, False)
    assert game.state().argmax() == 1 + first
    _, rewards, over, _, _ = game.step(dict(zip(game.agents, second, strict=True)))
    assert (rewards["agent_1"], over["__all__"]) == (reward, True)


@pytest.mark.parametrize("payoff", [[], [[1, 2], [3]], "text", [[1, float("nan")]], 3])
def test_bad_payoff(payoff):
    with pytest.raises(ValueError, match=r"env_config\.payoff"):
        MatrixGame({"payoff": payoff})


def test_unknown_env_names_the_nearest():
    with pytest.raises(ValueError, match=r"two_step_gam'.*two_step_game"):
        make_teams("two_step_gam", {}, 1)


def test_spaces_hold_a_view():
    teams = make_teams("two_step_game", {}, 3)
    view = teams.reset()
    assert isinstance(teams.single_action_space, gym.spaces.MultiDiscrete)
    for name, space in teams.single_observation_space.items():
        assert space.contains(getattr(view, name)[0].astype(space.dtype)), name


class Gone(ScriptedBattle):
    """Holds what cannot be pickled."""

    def __init__(self, config=None):
        super().__init__(config)
        self.process = lambda: None


class Rebuilt(gym.utils.EzPickle, ScriptedBattle):
    """Pickles its arguments and forgets its game."""

    def __init__(self, config=None):
        gym.utils.EzPickle.__init__(self, config)
        ScriptedBattle.__init__(self, config)


@pytest.mark.parametrize("make", [ScriptedBattle, TwoStepGame])
def test_saved_games_go_on_elsewhere(make):
    first, second = (PythonTeams([make() for _ in range(2)]) for _ in range(2))
    step = first.step(legal(first.reset()))
    second.reset()
    second.set_state(first.get_state())
    for _ in range(4):
        actions = legal(step.view)
        step, other = first.step(actions), second.step(actions)
        for name, array in vars(step.final).items():
            np.testing.assert_array_equal(array, getattr(other.final, name))
        np.testing.assert_array_equal(step.rewards, other.rewards)
        np.testing.assert_array_equal(step.done, other.done)
    with pytest.raises(ValueError, match="2 games were saved, but 1 are played here"):
        PythonTeams([make()]).set_state(first.get_state())


@pytest.mark.parametrize("make", [Gone, Rebuilt])
def test_games_that_cannot_be_saved_say_so(make):
    teams = PythonTeams([make()])
    teams.reset()
    assert teams.get_state() is None


class Departure(ScriptedBattle):
    """Agents leave after their step of `leaves`: no more observations, no more actions."""

    leaves: ClassVar[dict[str, int]] = {"unit_0": 1}
    flag = "terminateds"

    def step(self, action_dict):
        assert action_dict.keys() == {
            agent for agent in self.agents if self.t < self.leaves.get(agent, 99)
        }
        seen, rewards, *flags, infos = super().step(action_dict)
        leaving = {agent: self.leaves.get(agent) == self.t for agent in action_dict}
        flags[self.flag == "truncateds"] |= leaving
        here = [agent for agent in action_dict if not leaving[agent]]
        return (
            {agent: seen[agent] for agent in here},
            {agent: rewards[agent] for agent in action_dict},
            *flags,
            {agent: infos[agent] for agent in here},
        )


class CutDeparture(Departure):
    flag = "truncateds"


@pytest.mark.parametrize("env", [Departure, CutDeparture])
def test_agents_that_leave_early_stay_in_the_arrays(env):
    check_env(env())
    teams = PythonTeams([env(), env({"lengths": [1, 3]})], "mean")
    step = teams.step(legal(teams.reset()))
    # Of the second game this was the end: nobody left early, and the next game has all again.
    np.testing.assert_array_equal(step.done, [False, True])
    np.testing.assert_array_equal(step.view.alive, [[False, True], [True, True]])
    np.testing.assert_array_equal(step.view.observations[0], [[0, 0, 0], [0, 1, 1]])
    np.testing.assert_array_equal(step.view.legal_actions[0, 0], [True, False, False, False])
    assert not step.done[0]
    step = teams.step(legal(step.view))
    # The mean is over the whole team, so that returns are the mean of the agents' returns.
    np.testing.assert_array_equal(step.rewards, [0.5, 1.0])
    step = teams.step(legal(step.view))
    np.testing.assert_array_equal(step.done, [True, False])
    np.testing.assert_array_equal(step.final.observations[0], [[0, 0, 0], [0, 3, 1]])
    np.testing.assert_array_equal(step.view.alive, [[True, True], [False, True]])


class Deserted(Departure):
    leaves: ClassVar[dict[str, int]] = {"unit_0": 1, "unit_1": 1}


class Vanishing(ScriptedBattle):
    def step(self, action_dict):
        seen, *rest = super().step(action_dict)
        return {"unit_0": seen["unit_0"]}, *rest


@pytest.mark.parametrize(
    ("env", "says"),
    [
        (Deserted, "all agents have left after step 1, but neither .* set '__all__'"),
        (Vanishing, "agent 'unit_1' has no observation after step 1 .*terminateds entry"),
    ],
)
def test_what_the_checker_did_not_see_is_said_later(env, says):
    teams = PythonTeams([env()])
    with pytest.raises(ValueError, match=says):
        teams.step(legal(teams.reset()))


class Forager(MultiAgentEnv):
    """Different observations and actions; masks in the infos; an observation that is not a Box."""

    def __init__(self, config=None):
        super().__init__()
        self.agents = self.possible_agents = ["scout", "carrier"]
        self.observation_spaces = {
            "scout": gym.spaces.Box(-1, 1, (2, 2)),
            "carrier": gym.spaces.Discrete(3),
        }
        self.action_spaces = {"scout": gym.spaces.Discrete(2), "carrier": gym.spaces.Discrete(4)}

    def _now(self):
        seen = {"scout": [[1, 2], [3, 4]], "carrier": 2}
        return seen, {"carrier": {"action_mask": [0, 1, 0, 1]}}

    def reset(self, *, seed=None, options=None):
        return self._now()

    def step(self, action_dict):
        seen, infos = self._now()
        return seen, dict.fromkeys(self.agents, 1.0), {"__all__": True}, {"__all__": False}, infos


def test_unlike_observations_and_masks_in_infos():
    check_env(Forager())
    view = PythonTeams([Forager()]).reset()
    np.testing.assert_array_equal(view.observations[0], [[1, 2, 3, 4], [0, 0, 1, 0]])
    np.testing.assert_array_equal(view.legal_actions[0], [[1, 1, 0, 0], [0, 1, 0, 1]])
    np.testing.assert_array_equal(view.state[0], [1, 2, 3, 4, 0, 0, 1, 0])


def test_small_games_say_how_long_they_are():
    assert make_teams("two_step_game", {}, 1).spec.episode_limit == 2
    assert make_teams("matrix_game", {}, 1).spec.episode_limit == 1
