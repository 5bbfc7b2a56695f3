"""Answers of an env that break the contract: refused alike in the check and in later games."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs import TeamContractError, check_env, make_teams

NUMBERS_OF_ACTIONS = {"a": 2, "b": 4}
ALL, COMMON = "__all__", "__common__"


class Duo(MultiAgentEnv):
    """Two unlike agents, five steps a game; once `late`, `change` changes the parts of an answer.

    Attributes:
        change: By part ("seen", "rewards", "terminateds", "truncateds", "infos", "state"): what it
            is, or the entries that it has as well.
    """

    is_battle = True
    state_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, config=None):
        super().__init__()
        self.masks_in_infos = (config or {}).get("masks_in_infos", False)
        self.agents = self.possible_agents = list(NUMBERS_OF_ACTIONS)
        self.action_spaces = {a: gym.spaces.Discrete(n) for a, n in NUMBERS_OF_ACTIONS.items()}
        box = gym.spaces.Box(-1, 1, (3,), np.float32)
        self.observation_spaces = {
            agent: box
            if self.masks_in_infos
            else gym.spaces.Dict({"observations": box, "action_mask": gym.spaces.MultiBinary(n)})
            for agent, n in NUMBERS_OF_ACTIONS.items()
        }
        self.change, self.late = {}, False

    def changed(self, part, whole):
        if part not in self.change or not self.late:
            return whole
        change = self.change[part]
        return whole | change if isinstance(change, dict) and change else change

    def view(self):
        masks = {a: np.ones(n, np.int8) for a, n in NUMBERS_OF_ACTIONS.items()}
        masks = self.changed("masks", masks)
        seen = self.changed("seen", {a: np.zeros(3, np.float32) for a in self.agents})
        if self.masks_in_infos:
            infos = {a: {"action_mask": mask} for a, mask in masks.items()}
        else:
            seen = {a: {"observations": o, "action_mask": masks.get(a)} for a, o in seen.items()}
            infos = {}
        return seen, self.changed("infos", infos)

    def state(self):
        return self.changed("state", np.zeros(2, np.float32))

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self.view()

    def step(self, action_dict):
        self.t += 1
        seen, infos = self.view()
        rewards = self.changed("rewards", {"a": 1.0, "b": 1.0})
        ended = self.changed("terminateds", {ALL: self.t >= 5})
        return seen, rewards, ended, self.changed("truncateds", {ALL: False}), infos


def late(change, team_reward="equal", **config):
    """A step of a game that changes so after its check."""
    teams = make_teams(Duo, config, 1, team_reward)
    teams.reset()
    teams.envs[0].change, teams.envs[0].late = change, True
    return teams.step(np.zeros((1, 2), int))


REFUSED = [
    ({"masks": {"a": [1, 0, 0], "b": [1, 0, 0]}}, r"'a' has an action_mask of shape \(3,\)"),
    ({"masks": {"b": np.array([-np.inf, 0, 0, 1])}}, "'b' has the action_mask"),
    ({"masks": {"b": np.array([np.nan, 0, 0, 1])}}, "'b' has the action_mask"),
    ({"masks": {"b": np.array([2, 0, 0, 1])}}, r"'b' has the action_mask \[2, 0, 0, 1\]"),
    ({"masks": {"b": np.array([255, 0, 0, 1], np.uint8)}}, r"'b' has the action_mask \[255, 0"),
    ({"masks": {"b": ["0", "0", "0", "1"]}}, "'b' has a list as its action_mask"),
    ({"masks": {"b": ["True", "True", "True", "True"]}}, "'b' has a list as its action_mask"),
    ({"terminateds": {ALL: "False"}}, r"terminateds\['__all__'\] is 'False' after step 1: set it"),
    ({"terminateds": {ALL: 2}}, r"terminateds\['__all__'\] is 2 after step 1: set it"),
    ({"truncateds": {ALL: None}}, r"truncateds\['__all__'\] is None after step 1: set it"),
    ({"terminateds": {}, "truncateds": {}}, "terminateds lack '__all__' after step 1"),
    ({"terminateds": {"a": "no"}}, r"terminateds\['a'\] is 'no' after step 1: set it to True"),
    ({"terminateds": {"ghost": True}}, "terminateds have keys that are not agents .*'ghost'"),
    ({"rewards": {"a": "1.0", "b": "1.0"}}, "'a' got the reward '1.0'"),
    ({"rewards": {"a": b"1", "b": b"1"}}, "'a' got the reward b'1'"),
    ({"rewards": {"a": np.str_("1"), "b": np.str_("1")}}, "'a' got the reward .*'1'"),
    ({"rewards": {"a": 1j, "b": 1j}}, "'a' got the reward 1j"),
    ({"rewards": {"a": np.ones(2), "b": np.ones(2)}}, r"'a' got the reward array\(\[1., 1.\]\)"),
    ({"rewards": {"ghost": 5.0}}, "rewards have keys that are not agents .*'ghost'"),
    ({"seen": {"a": np.array(["1", "2", "3"])}}, "'a' observed an array of <U1"),
    ({"seen": {"a": ["1", "2", "3"]}}, "'a' observed a list"),
    ({"seen": {"a": np.array([1j, 0, 0])}}, "'a' observed an array of complex128"),
    ({"seen": {"a": np.array([None, 0, 0], object)}}, "'a' observed an array of object"),
    ({"state": np.array(["1", "2"])}, r"state\(\) returned an array of <U1"),
    ({"state": np.array([1j, 2])}, r"state\(\) returned an array of complex128"),
    ({"infos": {"ghost": {"alive": False}}}, "infos have keys that are not agents .*'ghost'"),
    ({"infos": {"a": [1]}}, r"infos\['a'\] is a list"),
    ({"infos": {"a": []}}, r"infos\['a'\] is a list"),
    ({"infos": {"a": {"alive": "False"}}}, r"infos\['a'\]\['alive'\] is 'False' .*set it to True"),
    ({"infos": {"a": {"alive": float("nan")}}}, r"infos\['a'\]\['alive'\] is nan"),
    ({"infos": {"b": {"alive": np.ones(2, bool)}}}, r"infos\['b'\]\['alive'\] is array"),
]


@pytest.mark.parametrize(("change", "says"), REFUSED, ids=str)
def test_refused_in_the_check_and_later_with_the_same_words(change, says):
    env = Duo()
    env.change, env.late = change, True
    for play in (lambda: check_env(env), lambda: late(change)):
        with pytest.raises(TeamContractError, match=says) as error:
            play()
        assert "could not be read" not in str(error.value)


@pytest.mark.parametrize("won", ["False", float("nan"), None, 2])
@pytest.mark.parametrize("where", [COMMON, "a"])
def test_a_victory_is_a_flag(won, where):
    change = {"infos": {where: {"battle_won": won}}}
    env = Duo()
    env.change, env.late = change, True
    for play in (lambda: check_env(env), lambda: late(change | {"terminateds": {ALL: True}})):
        with pytest.raises(
            TeamContractError, match=rf"infos\['{where}'\]\['battle_won'\] is {won!r}"
        ):
            play()


@pytest.mark.parametrize(
    ("infos", "won"),
    [
        ({COMMON: {"battle_won": True}}, True),
        ({COMMON: {"battle_won": np.array([1])}}, True),
        ({"a": {"battle_won": True}, "b": {"battle_won": True}}, True),
        ({"b": {"battle_won": np.True_}}, True),
        ({"a": {"battle_won": 0}, COMMON: None}, False),
        ({COMMON: {}, "a": None}, False),
    ],
)
def test_the_team_or_an_agent_tells_of_a_victory(infos, won):
    assert late({"infos": infos, "terminateds": {ALL: True}}).won.tolist() == [won]
    assert not late({"infos": infos}).won[0]  # the game is not over


@pytest.mark.parametrize("alive", [False, 0, np.False_, np.array([False]), np.array(0)])
def test_who_is_not_alive(alive):
    assert late({"infos": {"b": {"alive": alive}}}).final.alive.tolist() == [[True, False]]


@pytest.mark.parametrize(
    "reward", [0, 0.0, True, np.float32(0.5), np.array([0.5]), np.array(1), torch.tensor([0.5])]
)
@pytest.mark.parametrize("team_reward", ["equal", "mean"])
def test_rewards_are_any_number(reward, team_reward):
    change = {"rewards": {"a": reward, "b": reward}}
    env = Duo()
    env.change, env.late = change, True
    check_env(env, team_reward=team_reward)
    assert late(change, team_reward).rewards.tolist() == [float(np.asarray(reward).item())]


@pytest.mark.parametrize(
    ("mask", "legal"),
    [
        ([0, 1, 0, 1], [False, True, False, True]),
        ([0.0, 1.0, -0.0, 1.0], [False, True, False, True]),
        (np.array([True, False, False, False]), [True, False, False, False]),
        (np.array([1, 0, 0, 0], np.uint8), [True, False, False, False]),
    ],
)
@pytest.mark.parametrize("masks_in_infos", [False, True])
def test_masks_are_zeros_and_ones(mask, legal, masks_in_infos):
    step = late({"masks": {"b": mask}}, masks_in_infos=masks_in_infos)
    assert step.final.legal_actions[0].tolist() == [[True, True, False, False], legal]
