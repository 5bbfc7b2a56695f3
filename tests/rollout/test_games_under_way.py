"""Saved games: taken up where they were made with the same settings, else begun anew."""

import pickle

import numpy as np
import pytest

from rllib_qatten import QMIXConfig
from rllib_qatten.rollout.env_runner import TeamEnvRunner
from tests.teams import ScriptedBattle


class OwnState(ScriptedBattle):
    """Saves its game itself; its settings are a part of that."""

    def get_state(self):
        return {"game": self.game, "t": self.t, "config": self.config}

    def set_state(self, state):
        vars(self).update(state)


class NoMore(OwnState):
    """Its state does not fit."""

    def set_state(self, state):
        raise KeyError("armies")


def runner(env, evaluation=False, **env_config):
    config = QMIXConfig().environment(env, env_config=env_config)
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=2)
    config.training(hidden_size=8, team_reward="sum")
    config.validate()
    config.in_evaluation = evaluation
    return TeamEnvRunner(config=config)


def saved(played):
    played.sample(num_timesteps=2)
    return pickle.loads(pickle.dumps(played.get_games()))


@pytest.mark.parametrize("evaluation", [False, True])
@pytest.mark.parametrize("env", [ScriptedBattle, OwnState])
def test_games_with_other_settings_start_over(env, evaluation):
    state = saved(runner(env, evaluation, lengths=[3], deaths=np.array([9])))
    other = runner(env, evaluation, lengths=[6], deaths=np.array([9]))
    why = other.set_games(state, 2)
    assert why == "env_config.lengths: [3] in the checkpoint, [6] here"
    assert [len(episode) for episode in other.sample(num_episodes=4)] == [6] * 4


@pytest.mark.parametrize("env", [ScriptedBattle, OwnState, f"{__name__}:OwnState"])
def test_games_with_the_same_settings_go_on(env):
    cls = OwnState if isinstance(env, str) else env
    state = saved(runner(cls, lengths=[3], deaths=np.array([9])))
    other = runner(env, lengths=[3], deaths=np.array([9]))
    assert other.set_games(state, 2) == ""
    assert {env.t for env in other.env.envs} == {1}


def test_a_battle_by_another_name_goes_on():
    pytest.importorskip("jaxmarl", reason="the extra smax is not installed")
    state = saved(runner("smac", map_name="1m", engine="smax"))
    assert runner("smac", map_name="1m_vs_1m", engine="smax").set_games(state, 2) == ""
    why = runner("smac", map_name="1z", engine="smax").set_games(state, 2)
    assert why == "env_config.map_name: '1m' in the checkpoint, '1z' here"


def test_a_curriculum_goes_on():
    """What a callback made of the games is theirs: the run was given the same."""
    first = runner(ScriptedBattle, lengths=[3])
    first.config.environment(env_config={"lengths": [5]})
    first.make_env()
    other = runner(ScriptedBattle, lengths=[3])
    assert other.set_games(saved(first), 2) == ""
    assert [len(episode) for episode in other.sample(num_episodes=2)] == [5, 5]


def test_another_env_is_named():
    why = runner(OwnState).set_games(saved(runner(ScriptedBattle)), 2)
    assert f"env: 'tests.teams:ScriptedBattle' in the checkpoint, '{__name__}:OwnState'" in why


def test_games_that_an_older_version_saved_start_over():
    played = runner(ScriptedBattle)
    state = saved(played)
    del state["games"]["settings"]
    assert played.set_games(state, 2) == "an older version of this package saved them"


def test_a_state_that_does_not_fit_is_told():
    why = runner(NoMore).set_games(saved(runner(NoMore)), 2)
    assert why == "scripted battle cannot take up its state: KeyError('armies')"
