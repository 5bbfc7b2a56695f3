"""How observations are made of units: what an env declares, and what is wrong with it."""

import gymnasium as gym
import numpy as np
import pytest
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.agents import Entities
from rllib_qatten.envs import TeamContractError, check_env, declare
from tests.teams import ScriptedBattle

#: Of the scripted battle's three numbers and four actions, and two agents.
GOOD = {
    "own": [(0, 1)],
    "teammates": {"start": 1, "count": 1, "size": 1},
    "enemies": {"start": 2, "count": 1, "size": 1},
    "attacks": 3,
}


class Declaring(ScriptedBattle):
    """The scripted battle with a declaration from its config."""

    def __init__(self, config):
        super().__init__()
        self.entities = config


def test_an_env_may_declare_entities_or_a_mapping():
    for declared in (GOOD, Entities.read(GOOD)):
        env = Declaring(declared)
        assert declare(env).spec.entities == Entities.read(GOOD)
        check_env(env)


@pytest.mark.parametrize("other", [None, [], {"marine": 3}, "units", 7])
def test_what_is_plainly_something_else_is_left_alone(other):
    assert declare(Declaring(other)).spec.entities is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"own": [(0, 2)]}, "number 1 is in two parts"),
        ({"own": []}, "number 0 is in no part"),
        ({"own": [(0, 9)]}, r"\(0, 9\) is not within the observation's 3 numbers"),
        ({"own": [(1, 0)]}, r"\(1, 0\) is not within"),
        ({"teammates": {"start": 1, "count": 3, "size": 1}}, r"\(1, 4\) is not within"),
        ({"teammates": {"start": 1, "count": 1}}, "teammates.size: Field required"),
        ({"teammates": {"start": 1, "count": 1, "size": 0}}, "teammates.size"),
        ({"teammates": {"start": -1, "count": 1, "size": 1}}, "teammates.start"),
        ({"teammates": {"start": 1, "count": True, "size": 1}}, "teammates.count"),
        ({"enemies": {"start": 2, "count": 1, "size": 1, "skip": (0, 2)}}, r"skip is \(0, 2\)"),
        ({"enemies": {"start": 2, "count": 1, "size": 1, "skip": (1, 0)}}, r"skip is \(1, 0\)"),
        (
            {"enemies": {"start": 2, "count": 1, "size": 1, "features": ["x", "y"]}},
            "enemies.features names 2 numbers of 1",
        ),
        ({"own_features": ["x", "y"]}, "own_features names 2 numbers of 1"),
        ({"attacks": 4}, "attacks is 4: 1 actions from there on are not among 4"),
        ({"helps": 3}, "helps is 3: 2 actions from there on are not among 4"),
        ({"helps": 2}, "actions 3 and on both attack and help: helper must say"),
        ({"helps": 2, "helper": 2}, "helper is 2, which is not in own"),
        (
            {"helps": 1, "teammates": {"start": 1, "count": 2, "size": 1},
             "enemies": {"start": 3, "count": 0, "size": 1}},
            "teammates needs 1 rows; it has 2",
        ),
        ({"heals": 2}, "heals: Extra inputs are not permitted"),
    ],
)  # fmt: skip
def test_faults_are_named(change, says):
    with pytest.raises(TeamContractError, match=says):
        check_env(Declaring({**GOOD, **change}))


def test_helpers_may_share_their_actions_numbers():
    declared = GOOD | {"attacks": 2, "helps": 2, "helper": 0}
    assert declare(Declaring(declared)).spec.entities.helper == 0


class Unequal(MultiAgentEnv):
    def __init__(self):
        super().__init__()
        self.agents = self.possible_agents = ["a", "b"]
        self.observation_spaces = {
            "a": gym.spaces.Box(0, 1, (3,), np.float32), "b": gym.spaces.Box(0, 1, (2,), np.float32)
        }  # fmt: skip
        self.action_spaces = dict.fromkeys(self.agents, gym.spaces.Discrete(4))
        self.entities = GOOD


def test_agents_that_see_differently_cannot_be_described_alike():
    with pytest.raises(
        TeamContractError, match=r"every agent's.*\[2, 3\] numbers and \[4\] actions"
    ):
        declare(Unequal())
