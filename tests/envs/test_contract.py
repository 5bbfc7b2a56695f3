"""Envs as people write them: served, or refused by name."""

import sys
import threading
import warnings
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
from pettingzoo import ParallelEnv
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.multi_agent_env import MultiAgentEnv, make_multi_agent
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv

from rllib_qatten.envs import (
    PythonTeams,
    TeamContractError,
    check_env,
    declare,
    env_creator,
    make_teams,
)
from rllib_qatten.envs.agent_ids import check_same_order, in_order
from rllib_qatten.envs.spaces import misfits, reader, strays
from rllib_qatten.errors import BadInput

BOX = gym.spaces.Box(0, 1, (3,), np.float32)


class Line(MultiAgentEnv):
    """Two agents, four steps; `answers` puts something else in the place of a part."""

    ids: ClassVar = ["a", "b"]

    def __init__(self, config=None):
        super().__init__()
        self.config = config or {}
        self.possible_agents = self.ids
        self.observation_spaces = dict.fromkeys(self.ids, BOX)
        self.action_spaces = dict.fromkeys(self.ids, gym.spaces.Discrete(2))

    def seen(self):
        return {agent: np.full(3, 0.1, np.float32) for agent in self.ids}

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self.seen(), {}

    def step(self, action_dict):
        self.t += 1
        rewards = dict.fromkeys(self.ids, 1.0)
        return self.seen(), rewards, {"__all__": self.t >= 4}, {"__all__": False}, {}


GARBAGE = [None, 1.0, "x", [], [1, 2], (), {}, np.zeros(3), object(), {None: None}, {"a": None}]
GARBAGE += [{"a": "x", "b": "y"}, {"a": [1, [2]], "b": 0}, {"__all__": "no"}, float("nan"), Line]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("part", ["reset", "step", "state", 0, 1, 2, 3, 4])
def test_malformed_answers_raise_nothing_but_the_contracts_error(part, late):
    class Odd(Line):
        """Answers as it should, until `armed`."""

        armed, garbage = not late, None
        state_space = BOX

        def reset(self, **kwargs):
            answer = super().reset(**kwargs)
            return self.garbage if part == "reset" and self.armed else answer

        def step(self, action_dict):
            answer = list(super().step(action_dict))
            if part == "step" and self.armed:
                return self.garbage
            if isinstance(part, int) and self.armed:
                answer[part] = self.garbage
            return tuple(answer)

        def state(self):
            return self.garbage if part == "state" and self.armed else np.zeros(3, np.float32)

    refused = 0
    for garbage in GARBAGE:
        Odd.garbage = garbage
        try:
            if late:
                env = Odd()
                teams = PythonTeams([env])
                teams.reset()
                env.armed = True
                for _ in range(6):
                    step = teams.step(np.zeros((1, 2), int))
                    assert step.final.legal_actions.any(-1).all()
            else:
                check_env(Odd())
        except TeamContractError as error:
            refused += "could not be read" not in str(error)
    assert refused >= len(GARBAGE) - 6


def test_an_agent_comes_back_and_another_joins_late():
    class Revival(Line):
        def step(self, action_dict):
            self.sent = set(action_dict)
            seen, rewards, terminateds, *rest = super().step(action_dict)
            if self.t == 1:
                terminateds["b"] = True
            if self.t < 3:
                seen.pop("b")
            return seen, rewards, terminateds, *rest

    class Late(Line):
        def reset(self, **kwargs):
            seen, infos = super().reset(**kwargs)
            return {"a": seen["a"]}, infos

    for env, alive in ((Revival, [[1, 0], [1, 0], [1, 1]]), (Late, [[1, 1]] * 3)):
        check_env(env())
        teams = make_teams(env, {}, 1)
        first = teams.reset()
        assert first.alive[0].tolist() == [True, env is Revival]
        steps = [teams.step(np.zeros((1, 2), int)).final.alive[0].tolist() for _ in range(3)]
        assert steps == [[bool(a) for a in row] for row in alive]


def test_an_agent_of_a_parallel_env_comes_back():
    class Back(ParallelEnv):
        metadata: ClassVar = {"name": "back"}
        possible_agents: ClassVar = ["x", "y"]

        def observation_space(self, agent):
            return BOX

        def action_space(self, agent):
            return gym.spaces.Discrete(2)

        def seen(self):
            return {agent: np.ones(3, np.float32) for agent in self.agents}

        def reset(self, seed=None, options=None):
            self.t, self.agents = 0, ["x", "y"]
            return self.seen(), {}

        def step(self, actions):
            self.t += 1
            acted = list(self.agents)
            self.agents = ["x"] if self.t in (2, 3) else ["x", "y"]
            flags = dict.fromkeys(acted, self.t == 6)
            return self.seen(), dict.fromkeys(acted, 1.0), flags, dict.fromkeys(acted, False), {}

    for make in (lambda config: Back(), lambda config: ParallelPettingZooEnv(Back())):
        teams = make_teams(make, {}, 1)
        teams.reset()
        alive = [teams.step(np.zeros((1, 2), int)).final.alive[0, 1] for _ in range(6)]
        assert alive == [True, False, False, True, True, True]


def test_ids_have_one_order():
    assert in_order({"a10", "a2", "a1"}) == ("a1", "a2", "a10")
    assert in_order({(1, "b"), (0, "c")}) == ((0, "c"), (1, "b"))
    assert in_order(["b", "a"]) == in_order({"b": 0, "a": 1}.keys()) == ("b", "a")
    check_same_order(["a", 1], ["a", 1])
    with pytest.raises(BadInput, match=r"trained for the agents \['a', 'b'\], in this order"):
        check_same_order(["a", "b"], ["b", "a"], BadInput)
    for ids in ([0, 1], [("red", 0), ("red", 1)]):
        env = type("Ids", (Line,), {"ids": ids})
        assert make_teams(env, {}, 2).spec.agents == tuple(ids)


def test_a_set_of_agents_has_the_same_order_in_every_process():
    names = [f"agent of the {name}" for name in "east north north-east north-west south".split()]

    class Roles(MultiAgentEnv):  # whose base class lists the set
        observation_space, action_space = Line().observation_spaces["a"], Line().action_spaces["a"]

        def __init__(self):
            self._agent_ids = set(names)
            super().__init__()

    assert declare(Roles()).spec.agents == tuple(names)


class Own(Line):
    """Names of the contract that are something else here."""

    def __init__(self, config=None):
        super().__init__(config)
        self.state, self.engine, self.unit_features = np.zeros(4), object(), np.zeros(2)
        self.agents, self.episode_limit = {"a": object()}, lambda: 5

    def get_state(self, agent):
        return 0

    def vectorize(self, observation):
        return observation


def test_names_are_not_claimed_unseen():
    teams = make_teams(Own, {}, 2)
    spec = teams.spec
    assert (spec.engine, spec.state_source, spec.unit_features) == ("Own", "observations", None)
    assert (spec.episode_limit, spec.is_battle) == (None, False)
    assert teams.get_state() is None  # a lambda cannot be pickled, and get_state is its own


SPACES = [
    gym.spaces.Discrete(3, start=1),
    gym.spaces.MultiDiscrete([2, 3]),
    gym.spaces.MultiBinary(4),
    gym.spaces.Tuple([BOX, gym.spaces.Discrete(2)]),
    gym.spaces.Dict({"x": BOX, "in": gym.spaces.Dict({"y": gym.spaces.Discrete(4)})}),
    gym.spaces.Box(0, 255, (2, 3, 3), np.uint8),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_spaces_are_flattened_as_gymnasium_does(space):
    space.seed(0)
    for _ in range(5):
        value, parts = space.sample(), []
        assert not list(misfits(space, value))
        reader(space)(value, parts)
        np.testing.assert_array_equal(
            np.concatenate(parts, axis=None), gym.spaces.flatten(space, value)
        )


@pytest.mark.parametrize("way", ["single", "dict", "method"])
def test_rllibs_ways_to_declare_spaces(way):
    class Declares(Line):
        def __init__(self, config=None):
            super().__init__(config)
            seen, acted = self.observation_spaces, self.action_spaces
            self.observation_spaces = self.action_spaces = None
            if way == "single":
                self.observation_space, self.action_space = BOX, acted["a"]
            elif way == "dict":
                self.observation_space = gym.spaces.Dict(seen)
                self.action_space = gym.spaces.Dict(acted)
            else:
                self.get_observation_space = seen.get
                self.get_action_space = acted.get

    assert make_teams(Declares, {}, 1).spec.observation_size == 3


def test_rllibs_wrappers():
    cartpole = make_multi_agent("CartPole-v1")
    assert make_teams(cartpole, {"num_agents": 3}, 1, "sum").spec.agents == (0, 1, 2)
    with pytest.raises(TeamContractError, match=r"grouped, by with_agent_groups.*Line, ungrouped"):
        check_env(Line().with_agent_groups({"team": ["a", "b"]}))


def test_what_is_odd_is_said(capsys):
    class Bright(Line):
        def seen(self):
            return {agent: np.full(3, 7.0) for agent in self.ids}

    check_env(Bright())
    assert "'a' observed values from 7 to 7 where its space says 0 to 1" in capsys.readouterr().err


def test_what_float32_makes_of_a_bound_is_not_odd(capsys):
    class Rounded(Line):
        def seen(self):
            return {agent: np.full(3, 1.0000001) for agent in self.ids}

    check_env(Rounded())
    most = np.finfo(np.float32)
    unbounded = gym.spaces.Box(most.min, most.max, (3,), np.float32)
    with warnings.catch_warnings(action="error"):
        assert list(strays(unbounded, np.full(3, 0.5, np.float32))) == []
    assert "values" not in capsys.readouterr().err


def test_numbers_that_networks_cannot_use_and_games_beyond_the_limit_are_said(capsys):
    class Counts(Line):
        episode_limit = 3

        def __init__(self, config=None):
            super().__init__(config)
            counts = gym.spaces.Box(0, 2**40, (2,), np.int64)
            self.observation_spaces = dict.fromkeys(self.ids, counts)

        def seen(self):
            return {agent: np.array([2**20, 1]) for agent in self.ids}

    check_env(Counts())
    said = capsys.readouterr().err
    assert "'a' observed numbers up to 1.04858e+06: networks learn from numbers of" in said
    assert "episode_limit is 3, but a random game took more steps" in said
    Counts.episode_limit = "6"
    with pytest.raises(TeamContractError, match="episode_limit is '6': set it to the longest"):
        check_env(Counts())


def exits(config):
    sys.exit(3)


def fails(config):
    raise KeyError("cells")


def prints(config):
    print("loading")
    return Line(config)


def no_config():
    return Line()


def keywords(*, cells=3):
    return Line({"cells": cells})


def defaults(cells=3, limit=5):
    return Line({"cells": cells})


@pytest.mark.parametrize(
    ("make", "config", "says"),
    [
        (
            exits,
            {"x": 1},
            r"exits called sys.exit\(3\) when it was created with env_config {'x': 1}",
        ),
        (fails, {}, r"fails raised KeyError: 'cells' \(.* line \d+, in fails\), when it was"),
        (no_config, {"x": 1}, "no_config takes no settings, but env_config is {'x': 1}"),
        (keywords, {"cell": 1}, "Unknown env_config key of keywords: 'cell'.*Did you mean 'cells'"),
    ],
)
def test_constructors_that_fail_are_named(make, config, says):
    with pytest.raises(ValueError, match=says):
        env_creator(make)(config)


@pytest.mark.parametrize("make", [keywords, defaults])
def test_keywords_are_the_configs_keys(make):
    assert env_creator(make)({"cells": 9}).config == {"cells": 9}
    assert env_creator(make)({}).config == {"cells": 3}
    assert env_creator(no_config)({}).config == {}


def test_what_a_constructor_prints_stays_off_the_output(capsys):
    env_creator(prints)({})
    out, err = capsys.readouterr()
    assert out == ""
    assert "prints printed when it was created: loading" in err


def pops(config):
    config.setdefault("seen", []).append(config["map"].pop("limit", 10))
    env = Line({"limit": config.pop("limit", 10), **config})
    env.worker = config.worker_index
    return env


def test_each_game_gets_the_settings_though_the_constructor_pops_them():
    lock = threading.Lock()
    config = EnvContext({"limit": 4, "map": {"limit": 3}, "lock": lock}, worker_index=2)
    for env in make_teams(pops, config, 3).envs:
        assert env.config == {"limit": 4, "map": {}, "lock": lock, "seen": [3]}
        assert env.worker == 2
    assert config == {"limit": 4, "map": {"limit": 3}, "lock": lock}
