"""What the checker accepts, and what it only tells of."""

import gymnasium as gym
import numpy as np
import pytest

from rllib_qatten.envs import (
    ENVS,
    MatrixGame,
    TeamContractError,
    check_env,
    declare,
    env_creator,
    make_teams,
)
from rllib_qatten.envs.checker import check_games
from rllib_qatten.messages import say_once
from tests.teams import ScriptedBattle, Skirmish


def test_lists_all_that_is_declared_wrong():
    env = ScriptedBattle()
    env.action_spaces, env.observation_spaces, env.state_space = {}, {}, None
    with pytest.raises(TeamContractError) as error:
        check_env(env)
    assert len(str(error.value).splitlines()) == 1 + 2 * 2 + 1


def test_a_slow_env_is_not_checked_for_long(monkeypatch):
    monkeypatch.setattr("rllib_qatten.envs.checker.SECONDS", 0.0)
    env = ScriptedBattle()
    check_env(env)
    assert (env.game, env.t) == (0, 1)


@pytest.mark.parametrize("config", [{}, {"limit": 2}, {"deaths": [1], "lengths": [4]}])
def test_accepts_good_ones(config):
    check_env(ScriptedBattle(config))


@pytest.mark.parametrize("name", [n for n in ENVS if n in ("matrix_game", "two_step_game")])
def test_accepts_our_own(name):
    check_env(env_creator(name)({}))


def test_unit_types_are_any_whole_numbers():
    env = ScriptedBattle()
    for types in (None, (0, 0), [4, 2], np.array([4, 2], np.uint8)):
        env.unit_types = types
        check_env(env)


def test_unlike_sizes_are_fine():
    check_env(MatrixGame({"payoff": [[1, 2, 3], [4, 5, 6]]}))


class Renamed(ScriptedBattle):
    """Tells of its victories by another name."""

    name = "won"

    def step(self, action_dict):
        *rest, infos = super().step(action_dict)
        if told := infos.pop("__common__", None):
            infos["__common__" if self.game % 2 else "unit_1"] = {self.name: told["battle_won"]}
        return *rest, infos


class Untold(Renamed):
    name = "score"


class OnlyVictories(ScriptedBattle):
    """Has the key only where a game is won."""

    def step(self, action_dict):
        *rest, infos = super().step(action_dict)
        if not infos.get("__common__", {}).get("battle_won"):
            infos.pop("__common__", None)
        return *rest, infos


def told_of(env, word, team_reward="equal"):
    """The check's notes with this word."""
    told = []
    check_games(env, declare(env), team_reward=team_reward, tell=told.append)
    return [note for note in told if word in note]


def unsaid(env):
    """What the check says of victories."""
    return told_of(env, "battle_won")


@pytest.mark.parametrize(
    ("scale", "said"), [(1e-4, "4e-05"), (1, None), (-20, None), (-1e4, "-4000")]
)
def test_returns_far_from_what_networks_learn_are_told_of(scale, said):
    payoff = (scale * np.full((3, 3), 0.4)).tolist()
    notes = told_of(MatrixGame({"payoff": payoff}), "scale the rewards")
    assert [f"random games return about {said}" in note for note in notes] == [True] * bool(said)


def test_pixels_must_be_scaled():
    class Pixels(MatrixGame):
        def __init__(self, config=None):
            super().__init__(config)
            image = gym.spaces.Box(0, 255, (2, 2, 3), np.uint8)
            self.observation_spaces = dict.fromkeys(self.observation_spaces, image)

        def reset(self, **kwargs):
            observations, infos = super().reset(**kwargs)
            return {agent: np.zeros((2, 2, 3), np.uint8) for agent in observations}, infos

        def step(self, actions):
            observations, *rest = super().step(actions)
            return {agent: np.zeros((2, 2, 3), np.uint8) for agent in observations}, *rest

    [note] = told_of(Pixels(), "image")
    assert "(2, 2, 3) of numbers up to 255" in note
    assert "divide them by 255" in note


def test_a_battle_that_never_says_that_it_was_won_is_told_of():
    for env, meant in ((Renamed(), "; the infos have 'won', which is not read."), (Untold(), ".")):
        assert unsaid(env) == [
            "scripted battle: is_battle is True, but none of the 66 random games that ended had "
            "'battle_won' in its last infos, so all count as lost: set it in infos['__common__'], "
            f"or in an agent's, to whether the game was won{meant}"
        ]
    assert "none of the 66 random games" in unsaid(OnlyVictories({"wins": [False]}))[0]


def test_games_whose_victories_are_known_or_cannot_be_are_not_told_of():
    plain = Untold()
    plain.is_battle = False
    endless = Untold({"lengths": [9999]})
    cut = Untold({"lengths": [9999], "limit": 3})
    now_and_then = OnlyVictories({"wins": [False, False, True]})
    for env in (plain, endless, cut, now_and_then, ScriptedBattle({"wins": [False]}), Skirmish()):
        assert unsaid(env) == []


def test_victories_of_what_is_not_declared_a_battle_are_told_of():
    env = ScriptedBattle()
    env.is_battle = False
    [note] = unsaid(env)
    assert "'battle_won', which is not read, since is_battle is not True" in note


def test_building_an_algorithm_says_it(capfd):
    say_once.cache_clear()
    make_teams(Renamed, {}, 2)
    assert "'battle_won' in its last infos" in capfd.readouterr().err


class Leaving(ScriptedBattle):
    """unit_1 leaves with the first step, and gets `late` in all that follow."""

    late = 5.0

    def step(self, action_dict):
        seen, rewards, terminateds, truncateds, infos = super().step(action_dict)
        seen.pop("unit_1"), infos.pop("unit_1")
        terminateds["unit_1"] = True
        if "unit_1" not in action_dict:
            rewards["unit_1"] = self.late
        return seen, rewards, terminateds, truncateds, infos


def test_rewards_that_come_after_an_agent_has_left_are_told_of_where_they_do_not_count():
    env = Leaving()
    [note] = told_of(env, "who has left")
    assert "agent 'unit_1', who has left, gets the reward 5 and the others 1, in step 2" in note
    assert told_of(env, "who has left", team_reward="sum") == []
    for harmless in (0, 1.0):
        env.late = harmless
        assert told_of(env, "who has left") == []
