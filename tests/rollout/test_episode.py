import numpy as np

from rllib_qatten.envs import PythonTeams
from rllib_qatten.rollout.episode import Recorder, bytes_per_entry
from rllib_qatten.rollout.replay import predicted_bytes
from tests.teams import ScriptedBattle


def record(configs, steps, limit=None):
    """Plays first legal actions; returns the episodes in the order of their ends."""
    teams = PythonTeams([ScriptedBattle({**c, "limit": limit}) for c in configs])
    recorder = Recorder(teams.spec, teams.num_games)
    view = teams.reset()
    recorder.begin(view)
    episodes = []
    for _ in range(steps):
        actions = view.legal_actions.argmax(-1)
        step = teams.step(actions)
        episodes += recorder.record(actions, step)
        view = step.view
    return teams.spec, episodes


def test_episodes_are_whole_and_unpadded():
    _, episodes = record([{"lengths": [2, 3]}, {"lengths": [4], "wins": [False]}], 5)
    assert [len(e) for e in episodes] == [2, 4, 3]
    assert [e.won for e in episodes] == [True, False, True]
    assert [e.env_steps() for e in episodes] == [2, 4, 3]
    for episode, game in zip(episodes, (0, 0, 1), strict=True):
        steps = len(episode)
        # Observation: [game, t, agent]; entries 0..T, the last after the final step.
        np.testing.assert_array_equal(episode.observations[:, 0, 0], [game] * (steps + 1))
        np.testing.assert_array_equal(episode.observations[:, 1, 1], np.arange(steps + 1))
        np.testing.assert_array_equal(episode.rewards, np.ones(steps))
        assert episode.episode_return == steps
        assert episode.actions.dtype == np.uint8
        assert episode.terminated
        legal = episode.legal_actions[:steps]
        assert np.take_along_axis(legal, episode.actions[..., None].astype(int), -1).all()


def test_time_limit_is_no_end():
    _, episodes = record([{"lengths": [9]}], 6, limit=3)
    assert [len(e) for e in episodes] == [3, 3]
    assert not any(e.terminated or e.won for e in episodes)


def test_longer_games_than_expected_are_kept():
    _, (episode,) = record([{"lengths": [200]}], 200)
    np.testing.assert_array_equal(episode.observations[:, 0, 1], np.arange(201))


def test_bytes_are_predicted():
    spec, (episode, *_) = record([{"lengths": [9]}], 6, limit=3)
    expected = 4 * bytes_per_entry(spec)
    # The last entry holds no action and no reward.
    assert expected - episode.nbytes == 4 + 2
    assert predicted_bytes(spec, 10) == 10 * expected
