"""What may be set of StarCraft II, and what is refused."""

import os

import numpy as np
import pytest

from rllib_qatten.envs import make_smac
from rllib_qatten.envs.battles.sc2_settings import SC2Settings

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="games need POSIX")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"dificulty": "7"}, ["'dificulty'", "Did you mean 'difficulty'?", "reward_scale"]),
        ({"continuing_episode": True}, ["continuing_episode", "time_limit_terminal: false"]),
        ({"seed": 3}, ["env_config.seed: 3 cannot be had", "set seed beside env"]),
        ({"heuristic_ai": True}, ["heuristic_ai", "in the team's place"]),
        ({"replay_dir": "here"}, ["replay_dir: 'here'", "--video FILE.SC2Replay"]),
        ({"difficulty": "hard"}, ["'hard'", "1, 2, 3", "env_config.difficulty"]),
        ({"game_version": 4.10}, ["in quotes", 'game_version: "4.10"']),
        ({"game_version": "4.9"}, ["'4.9.0'", "4.10.0"]),
        ({"step_mul": "8"}, ["step_mul must be a whole number above 0", "'8'"]),
        ({"step_mul": 0}, ["step_mul must be a whole number above 0", "got 0"]),
        ({"reward_win": True}, ["reward_win must be a number", "True"]),
        ({"reward_win": float("nan")}, ["reward_win must be a number", "nan"]),
        ({"reward_sparse": "yes"}, ["reward_sparse must be true or false", "'yes'"]),
        ({"max_game_processes": 0}, ["max_game_processes", "1 or more"]),
        ({"hang_timeout_s": 0}, ["hang_timeout_s", "above 0", "got 0"]),
        ({"time_limit_terminal": 1}, ["time_limit_terminal", "true or false"]),
        ({"full_restart_episodes": -1}, ["full_restart_episodes", "0 or more"]),
    ],
)
def test_refuses(battles, config, says):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is checked below
        battles(1, **config)
    for part in says:
        assert part in str(error.value)


def test_what_can_be_meant_is_taken(battles):
    """A number as a difficulty, and all of PyMARL's env_args that say what holds anyway."""
    pymarl = {"continuing_episode": False, "seed": None, "replay_dir": "", "heuristic_ai": False}
    teams = battles(1, difficulty=7, game_version="4.10", step_mul=None, **pymarl)
    taken = {"map_name": "3m", "difficulty": "7", "game_version": "4.10", "step_mul": None}
    assert teams._settings.arguments == taken
    assert teams.reset().alive.all()


SMACV2_TEAM = {
    "dist_type": "weighted_teams",
    "unit_types": ["marine", "medivac"],
    "weights": [0.5, 0.5],
    "exception_unit_types": ["medivac"],
    "observe": True,
}


@pytest.mark.parametrize(
    ("team", "sizes", "says"),
    [
        ({"weights": [0.5, 0.6]}, {}, ["weights", "1 in all", "[0.5, 0.6]"]),
        ({"weights": [1.0]}, {}, ["weights", "a probability for each"]),
        ({"weights": [0, 1]}, {}, ["makes no team", "medivac"]),
        ({"unit_types": ["marine", "stalker"]}, {}, ["'stalker'", "terran", "marauder"]),
        ({"unit_types": []}, {}, ["weights"]),
        ({"dist_type": "weighted"}, {}, ["'weighted'", "weighted_teams"]),
        ({"dist_type": "all_teams"}, {}, ["one army for both sides", "got 6"]),
        ({"observe": 1}, {}, ["observe", "true or false"]),
        ({}, {"n_units": 0}, ["n_units", "1 or more", "got 0"]),
        ({}, {"n_units": "5"}, ["n_units", "'5'"]),
        ({}, {"start_positions": {"dist_type": "anywhere"}}, ["start_positions", "'anywhere'"]),
        ({}, {"team_gen": None}, ["team_gen must be a mapping"]),
    ],
)
def test_options_of_smacv2_that_make_no_team(team, sizes, says):
    config = {"n_units": 5, "n_enemies": 6, "team_gen": SMACV2_TEAM | team} | sizes
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is checked below
        SC2Settings.read("10gen_terran", {"capability_config": config})
    for part in says:
        assert part in str(error.value)


def test_a_published_battle_takes_no_other_teams():
    config = {"n_units": 5, "n_enemies": 5, "team_gen": SMACV2_TEAM}
    with pytest.raises(ValueError, match="map_name: 10gen_terran"):
        SC2Settings.read("terran_5_vs_5", {"capability_config": config})


def test_unknown_map_has_its_nearest():
    with pytest.raises(ValueError, match=r"'3s5y'.*'3s5z'"):
        make_smac({"map_name": "3s5y", "engine": "sc2"})


def test_sizes_that_smac_counts_wrong(battles):
    teams = battles(1, obs_timestep_number=True, obs_instead_of_state=True)
    assert (teams.spec.observation_size, teams.spec.state_size) == (5, 10)
    assert teams.spec.unit_features is None
    view = teams.reset()
    np.testing.assert_array_equal(view.state[0], view.observations[0].ravel())


def test_settings_of_smacv2_and_sparse_rewards():
    settings = SC2Settings.read("terran_5_vs_6", {"prob_obs_enemy": 0.5})
    assert settings.package == "smacv2"
    config = settings.arguments["capability_config"]
    assert (config["n_units"], config["n_enemies"]) == (5, 6)
    assert config["team_gen"]["unit_types"] == ["marine", "marauder", "medivac"]
    assert settings.arguments["map_name"] == "10gen_terran"
    assert settings.arguments["prob_obs_enemy"] == 0.5
    mine = {
        "n_units": 3,
        "n_enemies": 3,
        "team_gen": {"dist_type": "all_teams", "unit_types": ["zergling"], "observe": True},
    }
    given = SC2Settings.read("10gen_zerg", {"capability_config": mine}).arguments
    assert given["capability_config"] == mine
    with pytest.raises(ValueError, match="capability_config"):
        SC2Settings.read("10gen_zerg", {})
    assert SC2Settings.read("3m", {"reward_sparse": True}).arguments["reward_scale"] is False
