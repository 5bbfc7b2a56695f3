"""PettingZoo: its parallel environments as teams, and teams as its parallel environments."""

import functools
import threading
import warnings
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.test import parallel_api_test

from rllib_qatten.agents import Entities
from rllib_qatten.envs import (
    PythonTeams,
    TeamContractError,
    TwoStepGame,
    as_parallel_env,
    check_env,
    env_creator,
    make_teams,
)
from rllib_qatten.errors import BadInput
from tests.teams import ScriptedBattle


class Rowers(ParallelEnv):
    """Two rowers; agent "b" leaves after its step `b_leaves`, the clock stops at `limit`."""

    metadata = {"name": "rowers_v0"}  # noqa: RUF012 - PettingZoo's own way

    def __init__(self, limit=4, b_leaves=99, cut=False, mask_in="observation", has_state=True):
        self.possible_agents = ["a", "b"]
        self.max_cycles, self.b_leaves, self.cut, self.mask_in = limit, b_leaves, cut, mask_in
        if has_state:
            self.state = lambda: np.array([self.t], np.float32)

    @functools.cache  # noqa: B019 - PettingZoo wants the same object each time
    def observation_space(self, agent):
        box = gym.spaces.Box(0, 9, (1 + (agent == "b"),), np.float32)
        if self.mask_in != "observation":
            return box
        return gym.spaces.Dict({"observation": box, "action_mask": gym.spaces.MultiBinary(3)})

    @functools.cache  # noqa: B019 - as above
    def action_space(self, agent):
        return gym.spaces.Discrete(3)

    def _seen(self, agents):
        mask = np.array([1, self.t % 2, 1], np.int8)
        plain = {a: np.full(1 + (a == "b"), self.t, np.float32) for a in agents}
        if self.mask_in == "observation":
            return {a: {"observation": plain[a], "action_mask": mask} for a in agents}, {}
        return plain, {a: {"action_mask": mask} for a in agents}

    def reset(self, seed=None, options=None):
        self.t, self.agents = 0, list(self.possible_agents)
        return self._seen(self.agents)

    def step(self, actions):
        assert actions.keys() == set(self.agents)
        self.t += 1
        acted, over = self.agents, self.t >= self.max_cycles
        seen, infos = self._seen(acted)
        ended = {
            a: (over and not self.cut) or (a == "b" and self.t >= self.b_leaves) for a in acted
        }
        cut = {a: over and self.cut and not ended[a] for a in acted}
        self.agents = [a for a in acted if not ended[a] and not cut[a]]
        return seen, dict.fromkeys(acted, 1.0), ended, cut, infos


def play(teams):
    """Plays one game's worth of first legal actions; returns first view and all steps."""
    view = teams.reset(0)
    steps = [teams.step(view.legal_actions.argmax(-1))]
    while not steps[-1].done[0]:
        steps.append(teams.step(steps[-1].view.legal_actions.argmax(-1)))
    return view, steps


@pytest.mark.parametrize("mask_in", ["observation", "info"])
def test_observations_masks_and_state(mask_in):
    teams = make_teams(Rowers, {"mask_in": mask_in}, 1)
    assert teams.spec.state_source == "env"
    assert (teams.spec.episode_limit, teams.spec.engine) == (4, "rowers_v0")
    view, steps = play(teams)
    np.testing.assert_array_equal(view.legal_actions[0], [[1, 0, 1], [1, 0, 1]])
    np.testing.assert_array_equal(steps[0].final.legal_actions[0], [[1, 1, 1], [1, 1, 1]])
    np.testing.assert_array_equal(steps[1].final.observations[0], [[2, 0], [2, 2]])
    assert [step.final.state[0, 0] for step in steps] == [1, 2, 3, 4]
    assert [step.terminated[0] for step in steps] == [False, False, False, True]


def test_without_state_the_observations_are_it():
    assert make_teams(Rowers, {"has_state": False}, 1).spec.state_source == "observations"


@pytest.mark.parametrize("cut", [False, True])
def test_an_agent_that_leaves_early_stays_in_the_arrays(cut):
    teams = make_teams(Rowers, {"b_leaves": 2, "cut": cut}, 1)
    _, steps = play(teams)
    assert [step.final.alive[0].tolist() for step in steps] == [
        [True, True],
        [True, False],
        [True, False],
        [True, False],
    ]
    np.testing.assert_array_equal(steps[3].final.observations[0], [[4, 0], [0, 0]])
    assert steps[3].truncated[0] == cut
    assert steps[3].terminated[0] != cut


def test_ended_for_one_and_cut_off_for_the_other_is_cut_off():
    _, steps = play(make_teams(Rowers, {"b_leaves": 4, "cut": True}, 1))
    assert steps[-1].truncated[0]
    # Both left with the game: what they saw last stays.
    np.testing.assert_array_equal(steps[-1].final.observations[0], [[4, 0], [4, 4]])


class Turns(AECEnv):
    possible_agents = ("a", "b")


class Pilots(Rowers):
    def action_space(self, agent):
        return gym.spaces.Box(-1, 1, (2,))


class Spaceless(Rowers):
    def observation_space(self, agent):
        return {"a": gym.spaces.Discrete(2)}[agent]


@pytest.mark.parametrize(
    ("env", "says"),
    [
        (Turns, "Turns is not a team environment:\n  - its agents act one after the other"),
        (Pilots, "agent 'a' has the action space Box.*finitely many actions.*discretize"),
        (Spaceless, "agent 'b' has no entry in observation_spaces"),
    ],
)
def test_what_no_team_can_play_is_refused_with_the_reason(env, says):
    with pytest.raises(TeamContractError, match=f"(?s){says}"):
        check_env(env())


def pettingzoo(**config):
    return env_creator("pettingzoo")(config)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "env_config.env must name a PettingZoo module.*got None"),
        (
            {"env": "tests.envs"},
            "The module 'tests.envs' has no parallel_env: it is not a PettingZoo",
        ),
        ({"env": "tests.envs.adapters.test_parallel:Rower"}, "'Rower'.*Did you mean 'Rowers'"),
        ({"env": "tests.envs.adapters.test_parallel:Turns"}, "agents act one after the other"),
        (
            {"env": "tests.envs.adapters.test_paralel"},
            "Did you mean 'tests.envs.adapters.test_parallel'",
        ),
    ],
)
def test_bad_settings_of_the_env_pettingzoo(config, says):
    with pytest.raises((ValueError, ModuleNotFoundError), match=says):
        pettingzoo(**config)


def test_a_turn_based_module_is_refused():
    pytest.importorskip("pygame", reason="PettingZoo's classic games need pygame-ce, extra envs")
    with pytest.raises(ValueError, match="no parallel_env: its agents act one after the other"):
        pettingzoo(env="pettingzoo.classic.tictactoe_v3")


def test_arguments_reach_a_class_named_by_path():
    env = pettingzoo(env="tests.envs.adapters.test_parallel:Rowers", limit=7)
    assert (env.episode_limit, env.engine) == (7, "tests.envs.adapters.test_parallel:Rowers")


@pytest.fixture
def mpe2():
    return pytest.importorskip("mpe2", reason="the extra envs is not installed")


def test_simple_spread_is_the_env_itself(mpe2):
    from mpe2 import simple_spread_v3

    teams = make_teams("pettingzoo", {"env": "mpe2.simple_spread_v3", "local_ratio": 0.0}, 2)
    spec = teams.spec
    assert spec.engine == f"mpe2.simple_spread_v3 (mpe2 {mpe2.__version__})"
    assert (spec.n_agents, spec.n_actions, spec.episode_limit) == (3, 5, 25)
    assert (spec.observation_size, spec.state_size, spec.state_source) == (18, 54, "env")
    view = teams.reset(3)
    alone = simple_spread_v3.parallel_env(local_ratio=0.0)
    seen, _ = alone.reset(seed=int(np.random.SeedSequence(3).generate_state(2)[1]))
    rng = np.random.default_rng(0)
    for t in range(25):
        np.testing.assert_array_equal(view.observations[1], list(seen.values()))
        np.testing.assert_array_equal(view.state[1], alone.state())
        actions = rng.integers(5, size=(2, 3))
        seen, rewards, *_ = alone.step(dict(zip(spec.agents, actions[1].tolist(), strict=True)))
        step = teams.step(actions)
        assert step.rewards[1] == np.float32(rewards["agent_0"])
        assert step.truncated.all() == (t == 24)
        view = step.view
    assert not step.terminated.any()


def test_unequal_agents_of_mpe_are_padded(mpe2):
    teams = make_teams("pettingzoo", {"env": "mpe2.simple_speaker_listener_v4"}, 1)
    assert (teams.spec.observation_size, teams.spec.n_actions) == (11, 5)
    assert teams.spec.own_sizes == ((3, 3), (11, 5))
    view = teams.reset(0)
    np.testing.assert_array_equal(view.legal_actions[0].sum(-1), [3, 5])
    assert not view.observations[0, 0, 3:].any()


def test_rewards_of_their_own_need_a_rule(mpe2):
    with pytest.raises(TeamContractError, match=r"different rewards.*team_reward: sum or mean"):
        make_teams("pettingzoo", {"env": "mpe2.simple_spread_v3"}, 1)


# ---- the way back ----


def passes_pettingzoos_test(env):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        parallel_api_test(env, num_cycles=200)


@pytest.mark.parametrize(
    ("env", "config"),
    [
        ("two_step_game", {}),
        (ScriptedBattle, {"lengths": [4], "deaths": [1]}),
        ("tests.teams:ScriptedBattle", {"lengths": [9], "limit": 2}),
        (Rowers, {"b_leaves": 2}),
    ],
)
def test_teams_pass_pettingzoos_own_test(env, config):
    passes_pettingzoos_test(as_parallel_env(env, **config))


@pytest.mark.slow
def test_a_battle_passes_pettingzoos_own_test():
    pytest.importorskip("jaxmarl", reason="the extra smax is not installed")
    env = as_parallel_env("smac", map_name="3m", engine="smax")
    passes_pettingzoos_test(env)
    seen, infos = env.reset(seed=1)
    for agent in env.agents:
        assert env.observation_space(agent).contains(seen[agent])
        assert infos[agent] == {"alive": True}
    assert env.state_space.contains(env.state())
    env.close()


def test_there_and_back_is_the_same_battle():
    config = {"lengths": [2, 3], "wins": [True, False], "deaths": [1]}
    there = PythonTeams([ScriptedBattle(config)])
    back = make_teams(lambda env_config: as_parallel_env(ScriptedBattle, **env_config), config, 1)
    assert back.spec == there.spec
    check_env(back._envs[0])  # both have now played as many games
    check_env(there._envs[0])
    check_env(there._envs[0])
    there._envs[0].game = back._envs[0]._env._env.game = -1
    for _ in range(2):
        views, games = zip(play(there), play(back), strict=True)
        np.testing.assert_array_equal(views[0].legal_actions, views[1].legal_actions)
        for one, other in zip(*games, strict=True):
            for name in ("rewards", "terminated", "truncated", "won"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            for name, array in vars(one.final).items():
                np.testing.assert_array_equal(array, getattr(other.final, name))


def test_a_team_without_state_has_none_there():
    env = as_parallel_env(Rowers, has_state=False)
    with pytest.raises(NotImplementedError):
        env.state()
    assert as_parallel_env(TwoStepGame()).state_space.shape == (3,)


class Declaring(Rowers):
    """Rowers who say what they see, and how to save their game, for they hold a lock."""

    entities: ClassVar = {
        "own": [(0, 1)],
        "teammates": {"start": 1, "count": 1, "size": 1},
        "enemies": {"start": 2, "count": 1, "size": 1},
    }
    is_battle, unit_types = True, (1, 2)

    def __init__(self, **config):
        super().__init__(mask_in="infos", **config)
        self.lock = threading.Lock()

    @functools.cache  # noqa: B019 - as above
    def observation_space(self, agent):
        return gym.spaces.Box(0, 9, (3,), np.float32)

    def _seen(self, agents):
        return {a: np.full(3, self.t, np.float32) for a in agents}, {}

    def get_state(self):
        return self.t, self.agents

    def set_state(self, state):
        self.t, self.agents = state


def test_what_the_env_declares_is_the_teams_there_and_back():
    for make in (Declaring, lambda config: as_parallel_env(Declaring)):
        spec = make_teams(make, {}, 1).spec
        assert spec.entities == Entities.read(Declaring.entities)
        assert (spec.is_battle, spec.unit_types) == (True, (1, 2))


def test_a_parallel_env_saves_its_own_games():
    teams, other = (make_teams(Declaring, {}, 1) for _ in range(2))
    for vector in (teams, other):
        vector.reset()
    teams.step(np.zeros((1, 2), int))
    other.set_state(teams.get_state())
    assert other.step(np.zeros((1, 2), int)).final.observations[0, 0].tolist() == [2, 2, 2]


def test_a_state_of_no_numbers_needs_a_space():
    class Described(Rowers):
        unit_features = slice(0, 4)

        def __init__(self):
            super().__init__(has_state=False)
            self.state = lambda: {"clock": self.t}

    with pytest.raises(TeamContractError, match=r"state\(\) returned a dict: declare state_space"):
        check_env(Described())


class Quartet(gym.Env):
    """A gymnasium env of four."""

    observation_space = gym.spaces.Tuple([gym.spaces.Box(0, 1, (1,))] * 4)
    action_space = gym.spaces.Tuple([gym.spaces.Discrete(2)] * 4)


@pytest.mark.parametrize("env", [Rowers(), ScriptedBattle(), Quartet(), as_parallel_env(Rowers)])
def test_instances_of_all_kinds_go_there(env):
    agents = getattr(env, "possible_agents", [f"agent_{i}" for i in range(4)])
    assert as_parallel_env(env).possible_agents == agents


def test_instances_have_their_settings():
    with pytest.raises(BadInput, match=r"has its settings, and {'limit': 3}: leave these out"):
        as_parallel_env(Rowers(), limit=3)
    with pytest.raises(TeamContractError, match="act one after the other"):
        as_parallel_env(Turns())
