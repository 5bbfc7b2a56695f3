"""Envs written for other libraries, or carelessly: what is not read is named, what can be is."""

import enum
import re

import gymnasium as gym
import numpy as np
import pytest

from rllib_qatten.envs import EnvRules, TeamContractError, TwoStepGame, check_env, make_teams
from rllib_qatten.messages import say_once


@pytest.fixture
def said(capsys):
    say_once.cache_clear()
    return lambda: capsys.readouterr().err


class MaskInInfos(TwoStepGame):
    def reset(self, **kwargs):
        seen, _ = super().reset(**kwargs)
        return seen, {agent: {"avail_actions": np.ones(2)} for agent in self.agents}


class MaskOfTheTeam(TwoStepGame):
    def reset(self, **kwargs):
        seen, _ = super().reset(**kwargs)
        return seen, {"__common__": {"avail_actions": np.ones((2, 2))}}


class MaskBesideObservation(TwoStepGame):
    def __init__(self, config=None):
        super().__init__(config)
        self.observation_spaces = {
            agent: gym.spaces.Dict({"obs": space, "avail_actions": gym.spaces.MultiBinary(2)})
            for agent, space in self.observation_spaces.items()
        }

    def reset(self, **kwargs):
        seen, infos = super().reset(**kwargs)
        return self.with_masks(seen), infos

    def step(self, action_dict):
        seen, *rest = super().step(action_dict)
        return self.with_masks(seen), *rest

    def with_masks(self, seen):
        return {a: {"obs": o, "avail_actions": np.ones(2, np.int8)} for a, o in seen.items()}


class OfPyMARL(TwoStepGame):
    def get_avail_actions(self):
        return [[1, 1]] * 2


@pytest.mark.parametrize(
    ("env", "says"),
    [
        (MaskInInfos, "'avail_actions' in its infos, .* called action_mask"),
        (MaskOfTheTeam, "'avail_actions' in its team's infos, .* called action_mask"),
        (MaskBesideObservation, "'avail_actions' in its observation, .* called action_mask"),
        (OfPyMARL, r"get_avail_actions\(\) is not called: return masks as action_mask"),
    ],
)
def test_masks_by_other_names_are_noted(env, says, said):
    check_env(env())
    assert re.search(says, said())


class Name(str, enum.Enum):  # noqa: UP042 - as many write it
    LEFT, RIGHT = "left", "right"


class NamedByEnum(TwoStepGame):
    def __init__(self, config=None):
        super().__init__(config)
        self.names = dict(zip(self.agents, Name, strict=True))
        self.observation_spaces = self.by_name(self.observation_spaces)
        self.action_spaces = self.by_name(self.action_spaces)
        self.agents = self.possible_agents = list(Name)

    def by_name(self, values):
        return {self.names[agent]: value for agent, value in values.items()}


class ClearsItsActions(TwoStepGame):
    def step(self, action_dict):
        answer = super().step(action_dict)
        action_dict.clear()
        return answer


class FailsToClose(TwoStepGame):
    def close(self):
        raise ConnectionError("already gone")


def play(env):
    teams = make_teams(env, {}, 2)
    teams.reset(1)
    steps = [teams.step(np.ones((2, 2), np.int64)) for _ in range(4)]
    teams.close()
    return teams, [step.rewards.tolist() for step in steps]


def test_agents_may_be_named_by_an_enum_of_strings():
    teams, rewards = play(NamedByEnum)
    assert teams.spec.agents == ("left", "right")
    assert rewards == [[0, 0], [8, 8]] * 2


def test_an_env_may_change_the_actions_it_gets():
    _, rewards = play(ClearsItsActions)
    assert rewards == [[0, 0], [8, 8]] * 2


def test_an_env_that_fails_to_close_is_reported(said):
    play(FailsToClose)
    told = r"raised ConnectionError: already gone \(.*, in close\) in close\(\), which is ignored"
    assert len(re.findall(told, said())) == 2


def test_an_attribute_of_one_game_is_in_its_env():
    teams, _ = play(TwoStepGame)
    assert teams.envs[0].GAMES
    with pytest.raises(AttributeError, match=r"no 'GAMES'.*env\.envs\[env_index\]"):
        teams.unwrapped.GAMES  # noqa: B018 - it raises


class TooLarge(TwoStepGame):
    def state(self):
        return np.full(3, 1e39)


def test_numbers_too_large_for_networks_are_refused():
    with pytest.raises(TeamContractError, match=r"numbers up to 1e\+39.*too large for float32"):
        check_env(TooLarge())


class NothingIsCutOff(TwoStepGame):
    def step(self, action_dict):
        seen, rewards, ends, _, infos = super().step(action_dict)
        return seen, rewards, ends, {}, infos


class OfOldRLlib(TwoStepGame):
    """Names its agents by RLlib's old attribute alone, a set, after RLlib has looked for it."""

    def __init__(self, config=None):
        super().__init__(config)
        self._agent_ids = set(self.agents)
        self.agents = self.possible_agents = []

    def reset(self, **kwargs):
        self.agents = sorted(self._agent_ids)
        return super().reset(**kwargs)


@pytest.mark.parametrize("env", [NothingIsCutOff, OfOldRLlib])
def test_rllibs_own_ways(env):
    check_env(env())
    teams, rewards = play(env)
    assert teams.spec.agents == ("agent_0", "agent_1")
    assert rewards == [[0, 0], [8, 8]] * 2


class OftenFails(TwoStepGame):
    left = 40

    def step(self, action_dict):
        OftenFails.left -= 1
        if OftenFails.left <= 0:
            OftenFails.left = 40
            raise ConnectionError("simulator lost")
        return super().step(action_dict)


def test_an_env_that_fails_in_every_check_is_tried_for_as_long_as_a_check(said):
    teams = make_teams(OftenFails, {}, 1, rules=EnvRules(restart_failed=True))
    assert 3 <= said().count("in its check and is recreated") <= 4
    teams.reset(1)
    steps = [teams.step(np.ones((1, 2), np.int64)) for _ in range(100)]
    assert sum(int(step.dropped[0]) for step in steps) == teams.game_restarts == 2


class GroupedWithin(TwoStepGame):
    """As RLlib's own two-step game with grouped agents."""

    def __init__(self, config=None):
        super().__init__(config)
        self.agents = self.possible_agents = ["team"]
        self.action_spaces = {"team": gym.spaces.Tuple([gym.spaces.Discrete(2)] * 2)}
        self.observation_spaces = {"team": self.state_space}


def test_a_group_of_agents_is_to_be_handed_over_ungrouped():
    with pytest.raises(TeamContractError, match=r"Tuple.*with_agent_groups, pass the env ungroup"):
        check_env(GroupedWithin())
