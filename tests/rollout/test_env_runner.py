"""The env runner by itself."""

import numpy as np
import pytest
import torch

from rllib_qatten import QMIXConfig
from rllib_qatten.rollout.env_runner import TeamEnvRunner


@pytest.mark.parametrize(
    ("evaluation", "expected"),
    [
        ({"evaluation_interval": None}, [3, 3]),
        ({"evaluation_interval": 1}, [3, 3, 3]),
        (
            {
                "evaluation_interval": 1,
                "evaluation_num_env_runners": 2,
                "evaluation_config": {"num_envs_per_env_runner": 5},
            },
            [3, 3, 5, 5],
        ),
    ],
)
def test_games_know_how_many_the_whole_run_plays(evaluation, expected):
    config = QMIXConfig().environment("matrix_game").env_runners(num_envs_per_env_runner=3)
    config = config.update_from_dict({"num_env_runners": 2, **evaluation})
    assert TeamEnvRunner(config=config).env.asked_by_all == expected
    evaluated = config.get_evaluation_config_object()
    assert TeamEnvRunner(config=evaluated).env.asked_by_all == []


def explored(config):
    """Every epsilon that a runner plays 40 games of one step by, 4 of them side by side."""
    runner = TeamEnvRunner(config=config)
    seen, play = [], runner.games.play
    runner.games.play = lambda module, epsilon, left: (
        seen.append(epsilon),
        play(module, epsilon, left),
    )[1]
    runner.sample(num_episodes=40, explore=True)
    return seen


def test_games_of_an_evaluation_are_no_steps_of_the_schedule():
    config = QMIXConfig().environment("matrix_game").env_runners(num_envs_per_env_runner=4)
    config.training(epsilon=[[0, 1.0], [40, 0.0]]).evaluation(evaluation_config={"explore": True})
    np.testing.assert_allclose(explored(config), np.linspace(1.0, 0.1, 10))
    assert explored(config.get_evaluation_config_object()) == [1.0] * 10


def test_runners_of_neighbouring_seeds_play_different_games():
    config = QMIXConfig().environment("matrix_game").training(epsilon=1.0)
    actions = [
        [episode.actions.tolist() for episode in runner.sample(num_episodes=60, explore=True)]
        for seed in (1, 2)
        for worker in (0, 1, 2)
        for runner in [
            TeamEnvRunner(config=config.copy().debugging(seed=seed), worker_index=worker)
        ]
    ]
    assert all(a != b for i, a in enumerate(actions) for b in actions[:i])


def test_a_small_network_plays_in_one_thread():
    runner = TeamEnvRunner(config=QMIXConfig().environment("matrix_game"))
    used, play, before = set(), runner.games.play, torch.get_num_threads()
    runner.games.play = lambda *given: (used.add(torch.get_num_threads()), play(*given))[1]
    torch.set_num_threads(2)
    try:
        runner.sample(num_episodes=2)
        assert used == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
