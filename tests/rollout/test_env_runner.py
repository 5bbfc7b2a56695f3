"""The env runner by itself."""

import pytest

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
