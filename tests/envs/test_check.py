import gymnasium as gym
import numpy as np
import pytest

from rllib_qatten.envs import ENVS, MatrixGame, TeamContractError, check_env, env_creator
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


def nan_rewards():
    return ScriptedBattle({"break_at": 2, "lengths": [5]})


def nan_observations():
    return ScriptedBattle({"break_at": 2, "lengths": [5], "broken": "observations"})


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda: gym.Env(), ["for one agent", "subclass"]),
        (NoAgents, ["possible_agents is missing or empty"]),
        (NoSpace, ["'unit_1'", "observation_spaces", "add its space"]),
        (Continuous, ["'unit_1'", "Discrete starting at 0"]),
        (EndlessObservations, ["'unit_0'", "no fixed length"]),
        (NoStateSpace, ["state_space is None"]),
        (OddUnitFeatures, ["unit_features is slice(0, 3, None)", "each of the 2 agents"]),
        (ShortState, ["state() has shape (4,)", "state_space (5,)"]),
        (OldReset, ["reset() returned dict", "(observations, infos)"]),
        (OldStep, ["step() returned tuple of other than five parts"]),
        (Leaver, ["'unit_1' has no observation after step 1", "one legal action"]),
        (WrongShape, ["'unit_1' observed shape (4,)", "(3,)"]),
        (NoLegalAction, ["'unit_0' has no legal action after step 1", "no-op"]),
        (LongMask, ["'unit_0' has an action_mask of shape (5,)", "4 actions"]),
        (Maskless, ["'unit_0' declares an 'action_mask'", "none"]),
        (UnlikeRewards, ["different rewards", "team_reward: sum or mean"]),
        (NoEnd, ["terminateds lack '__all__'"]),
        (StrangeInfo, ["infos hold ['battle_won'], which are no agents"]),
        (nan_rewards, ["'unit_0' got the reward nan"]),
        (nan_observations, ["'unit_0' observed NaN", "after step 2"]),
    ],
)
def test_says_what_is_wrong(broken, says):
    with pytest.raises(TeamContractError) as error:
        check_env(broken())
    for part in says:
        assert part in str(error.value)


@pytest.mark.parametrize("config", [{}, {"limit": 2}, {"deaths": [1], "lengths": [4]}])
def test_accepts_good_ones(config):
    check_env(ScriptedBattle(config))


@pytest.mark.parametrize("name", [n for n in ENVS if n in ("matrix_game", "two_step_game")])
def test_accepts_our_own(name):
    check_env(env_creator(name)({}))


def test_unlike_rewards_are_fine_where_joined():
    check_env(UnlikeRewards(), team_reward="sum")


def test_unlike_sizes_are_fine():
    check_env(MatrixGame({"payoff": [[1, 2, 3], [4, 5, 6]]}))
