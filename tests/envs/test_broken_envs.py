"""What the checker says of envs that break the contract, each in one way."""

import re

import gymnasium as gym
import numpy as np
import pytest

from rllib_qatten.envs import (
    MatrixGame,
    TeamContractError,
    check_env,
)
from tests.teams import ScriptedBattle


class NoAgents(ScriptedBattle):
    def __init__(self):
        super().__init__()
        self.agents = self.possible_agents = []


class NoSpace(ScriptedBattle):
    def __init__(self):
        super().__init__()
        self.observation_spaces = {"unit_0": self.observation_spaces["unit_0"]}


class Continuous(ScriptedBattle):
    def __init__(self):
        super().__init__()
        self.action_spaces = self.action_spaces | {"unit_1": gym.spaces.Box(-1, 1, (2,))}


class EndlessObservations(ScriptedBattle):
    def __init__(self):
        super().__init__()
        self.observation_spaces = self.observation_spaces | {
            "unit_0": gym.spaces.Sequence(gym.spaces.Discrete(3))
        }


class NoStateSpace(ScriptedBattle):
    def __init__(self):
        super().__init__()
        self.state_space = None


class OddUnitFeatures(ScriptedBattle):
    def __init__(self):
        super().__init__()
        self.unit_features = slice(0, 3)


class OddUnitTypes(ScriptedBattle):
    unit_types = ("stalker", "zealot")


class FewUnitTypes(ScriptedBattle):
    unit_types = (1,)


class NamelessUnitTypes(ScriptedBattle):
    unit_types = 2


class ShortState(ScriptedBattle):
    def state(self):
        return super().state()[:-1]


class OldReset(ScriptedBattle):
    def reset(self, **kwargs):
        return super().reset(**kwargs)[0]


class OldStep(ScriptedBattle):
    def step(self, action_dict):
        return super().step(action_dict)[:4]


class Leaver(ScriptedBattle):
    def step(self, action_dict):
        seen, *rest = super().step(action_dict)
        del seen["unit_1"]
        return seen, *rest


class WrongShape(ScriptedBattle):
    def step(self, action_dict):
        seen, *rest = super().step(action_dict)
        seen["unit_1"]["observations"] = np.zeros(4, np.float32)
        return seen, *rest


class NoLegalAction(ScriptedBattle):
    def step(self, action_dict):
        seen, *rest = super().step(action_dict)
        seen["unit_0"]["action_mask"] = np.zeros(4, np.int8)
        return seen, *rest


class LongMask(ScriptedBattle):
    def reset(self, **kwargs):
        seen, infos = super().reset(**kwargs)
        seen["unit_0"]["action_mask"] = np.ones(5, np.int8)
        return seen, infos


class Maskless(ScriptedBattle):
    def reset(self, **kwargs):
        seen, infos = super().reset(**kwargs)
        del seen["unit_0"]["action_mask"]
        return seen, infos


class HugeRewards(ScriptedBattle):
    def step(self, action_dict):
        seen, rewards, *rest = super().step(action_dict)
        return seen, dict.fromkeys(rewards, 1e39), *rest


class RewardsBeyondFloats(ScriptedBattle):
    def step(self, action_dict):
        seen, rewards, *rest = super().step(action_dict)
        return seen, dict.fromkeys(rewards, 10**400), *rest


class UnlikeRewards(ScriptedBattle):
    def step(self, action_dict):
        seen, rewards, *rest = super().step(action_dict)
        return seen, rewards | {"unit_1": 3.0}, *rest


class NoEnd(ScriptedBattle):
    def step(self, action_dict):
        seen, rewards, _, *rest = super().step(action_dict)
        return seen, rewards, dict.fromkeys(self.agents, False), *rest


class StrangeInfo(ScriptedBattle):
    def step(self, action_dict):
        *rest, infos = super().step(action_dict)
        return *rest, infos | {"battle_won": True}


class TwiceNamed(ScriptedBattle):
    def __init__(self):
        super().__init__()
        self.possible_agents = ["unit_0", "unit_0"]


class ActionlessAgent(ScriptedBattle):
    def __init__(self):
        super().__init__()
        self.action_spaces = {"unit_0": gym.spaces.Discrete(4)}


class NamelessObservation(ScriptedBattle):
    def __init__(self):
        super().__init__()
        space = self.observation_spaces["unit_0"]
        renamed = {"view": space["observations"], "action_mask": space["action_mask"]}
        self.observation_spaces = self.observation_spaces | {"unit_0": gym.spaces.Dict(renamed)}


class ShortMaskSpace(ScriptedBattle):
    def __init__(self):
        super().__init__()
        space = self.observation_spaces["unit_0"]
        short = {"observations": space["observations"], "action_mask": gym.spaces.MultiBinary(3)}
        self.observation_spaces = self.observation_spaces | {"unit_0": gym.spaces.Dict(short)}


class SpaceWithoutState(MatrixGame):
    def __getattribute__(self, name):
        if name == "state":
            raise AttributeError(name)
        return super().__getattribute__(name)


class FeaturesWithoutState(SpaceWithoutState):
    def __init__(self):
        super().__init__()
        self.state_space, self.unit_features = None, slice(0, 2)


class UndeclaredMask(ScriptedBattle):
    def __init__(self):
        super().__init__()
        space = self.observation_spaces["unit_0"]["observations"]
        self.observation_spaces = self.observation_spaces | {"unit_0": space}


class SeedlessReset(ScriptedBattle):
    def reset(self):
        return super().reset()


class ForgetfulReset(ScriptedBattle):
    def reset(self, **kwargs):
        if self.game >= 0:
            raise KeyError("unit_0")
        return super().reset(**kwargs)


class CrashingStep(ScriptedBattle):
    def step(self, action_dict):
        raise IndexError("list index out of range")


class Stranger(ScriptedBattle):
    def step(self, action_dict):
        seen, *rest = super().step(action_dict)
        return seen | {"unit_7": seen["unit_0"]}, *rest


class Unrewarded(ScriptedBattle):
    def step(self, action_dict):
        seen, rewards, *rest = super().step(action_dict)
        return seen, {"unit_0": rewards["unit_0"]}, *rest


class NoneRewarded(ScriptedBattle):
    def step(self, action_dict):
        seen, rewards, *rest = super().step(action_dict)
        return seen, rewards | {"unit_1": None}, *rest


class AllLeave(ScriptedBattle):
    def step(self, action_dict):
        seen, rewards, terminateds, *rest = super().step(action_dict)
        return seen, rewards, terminateds | dict.fromkeys(self.agents, True), *rest


class BoolEnd(ScriptedBattle):
    def step(self, action_dict):
        seen, rewards, terminateds, _, infos = super().step(action_dict)
        return seen, rewards, terminateds, False, infos


def nan_rewards():
    return ScriptedBattle({"break_at": 2, "lengths": [5]})


def nan_observations():
    return ScriptedBattle({"agents": 1, "break_at": 2, "lengths": [5], "broken": "observations"})


#: Environments that break the contract, and all that the checker says.
BROKEN = {
    object: "it is an object, not a MultiAgentEnv: subclass "
    "ray.rllib.env.multi_agent_env.MultiAgentEnv or pettingzoo.ParallelEnv",
    gym.Env: "it is a gymnasium environment for one agent: a team needs Tuples for "
    "observation_space and action_space, one entry per agent; they are None and None. For a team "
    "of your own, subclass MultiAgentEnv",
    NoAgents: "possible_agents is missing or empty: set it in __init__ to the list of all agents",
    TwiceNamed: "possible_agents names an agent twice, ['unit_0', 'unit_0']: name each once",
    NoSpace: "agent 'unit_1' has no entry in observation_spaces: add its space",
    ActionlessAgent: "agent 'unit_1' has no entry in action_spaces: add a Discrete",
    Continuous: "agent 'unit_1' has the action space Box(-1.0, 1.0, (2,), float32): value "
    "decomposition takes the best of finitely many actions and needs a Discrete starting at 0; "
    "discretize or flatten the actions",
    EndlessObservations: "agent 'unit_0' has the observation space Sequence(Discrete(3), "
    "stack=False), which has no fixed length: use a Box, or a Dict of 'observations' and "
    "'action_mask'",
    NamelessObservation: "agent 'unit_0' has an observation space with 'action_mask' beside "
    "['view']: name the observation 'observations'",
    ShortMaskSpace: "agent 'unit_0' declares an 'action_mask' of shape (3,) for 4 actions: give it "
    "one entry per action, MultiBinary(4)",
    NoStateSpace: "it has a state() but its state_space is None: set state_space to the space of "
    "what state() returns, or rename the method if it does not return the team's global state",
    OddUnitFeatures: "unit_features is slice(0, 3, None): it must be slice(start, stop) within the "
    "state's 5 entries, with the same number of features for each of the 2 agents",
    **{
        broken: f"unit_types is {said}: it must hold one whole number per agent, the "
        "same for agents of one type, or be None if types change from game to game"
        for broken, said in (
            (OddUnitTypes, "('stalker', 'zealot')"),
            (FewUnitTypes, "(1,)"),
            (NamelessUnitTypes, "2"),
        )
    },
    FeaturesWithoutState: "it declares unit_features, a slice of the state, but has no state(): "
    "add one",
    SpaceWithoutState: "it has a state_space but no state(): add a method state() that returns "
    "the team's global state, or rename the space",
    ShortState: "state() returned shape (4,) after reset(), but its space says (5,): return "
    "that or correct state_space",
    OldReset: "reset() returned a dict: return (observations, infos)",
    SeedlessReset: "reset() raised TypeError: SeedlessReset.reset() got an unexpected keyword "
    "argument 'seed'; fix reset(), which gets seed and options",
    ForgetfulReset: "reset() raised KeyError: 'unit_0'; fix reset(), which gets seed and options",
    OldStep: "step() returned a tuple of 4: return (observations, rewards, terminateds, "
    "truncateds, infos)",
    CrashingStep: "step({'unit_0': 2, 'unit_1': 2}) raised IndexError: list index out of range; "
    "fix step(), which gets an action for every agent in the game",
    Leaver: "agent 'unit_1' has no observation after step 1 and has not left: return one at every "
    "step (for a dead agent, zeros and one legal action), or set its terminateds entry to True "
    "when it leaves",
    Stranger: "observations have keys that are not agents after step 1, 'unit_7': add them to "
    "possible_agents or leave them out",
    WrongShape: "agent 'unit_1' observed shape (4,) after step 1, but its space says (3,): return "
    "that or correct observation_spaces",
    UndeclaredMask: "agent 'unit_0' observed a dict after reset(), but its space says numbers of "
    "shape (3,): return that or correct observation_spaces (for a mask, declare a Dict of "
    "'observations' and 'action_mask')",
    nan_observations: "agent 'unit_0' observed NaN or infinity after step 2: networks need finite "
    "numbers; look for a division by zero",
    Maskless: "agent 'unit_0' declares 'observations' and 'action_mask' but after reset() returned "
    "['observations']: return a dict with both",
    LongMask: "agent 'unit_0' has an action_mask of shape (5,) after reset(), but its action space "
    "has 4 actions: give the mask one entry per action",
    NoLegalAction: "agent 'unit_0' has no legal action in its action_mask after step 1: leave one, "
    "such as a no-op for a dead agent",
    Unrewarded: "agent 'unit_1' has no entry in rewards after step 1: give every agent the team's "
    "reward",
    NoneRewarded: "agent 'unit_1' got the reward None after step 1: return a finite number",
    nan_rewards: "agent 'unit_0' got the reward nan after step 2: return a finite number",
    HugeRewards: "agent 'unit_0' got the reward 1e+39 after step 1: too large for float32; scale "
    "rewards",
    RewardsBeyondFloats: f"agent 'unit_0' got the reward {10**400} after step 1: return a finite "
    "number",
    UnlikeRewards: "the agents got different rewards after step 1, {'unit_0': 1.0, 'unit_1': 3.0}, "
    "but a team has one: give all the same, or set team_reward: sum or mean in the config",
    NoEnd: "step()'s terminateds lack '__all__' after step 1: return a dict that has it, set "
    "to whether the game is over",
    BoolEnd: "step()'s truncateds lack '__all__' after step 1: return a dict that has it, set "
    "to whether the game is over",
    AllLeave: "all agents have left after step 1, but neither terminateds nor truncateds set "
    "'__all__': set it to True when the last agent leaves",
    StrangeInfo: "infos have keys that are not agents after step 1, 'battle_won': put what "
    "concerns the whole team into infos['__common__']",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_says_what_is_wrong_where_and_the_fix(broken):
    with pytest.raises(TeamContractError) as error:
        check_env(broken())
    title, *faults = str(error.value).splitlines()
    assert title.endswith(" is not a team environment:")
    told = [re.sub(r" \(\S+\.py line \d+, in \w+\)", "", fault) for fault in faults]
    assert told == [f"  - {BROKEN[broken]}"]


def test_unlike_rewards_are_fine_where_joined():
    check_env(UnlikeRewards(), team_reward="sum")
