"""Processes that no machine has room for: Ray would wait for ever, so it is said."""

import pytest

from rllib_qatten import QMIX, QMIXConfig
from rllib_qatten.algorithms.cluster import say_what_is_lacking

pytestmark = pytest.mark.usefixtures("ray_session")  # with 4 CPUs


@pytest.fixture
def said(capsys):
    def say_of(config):
        config.environment("two_step_game").validate()
        say_what_is_lacking(QMIX, config)
        return capsys.readouterr().err

    return say_of


def test_enough(said):
    assert not said(QMIXConfig())
    assert not said(QMIXConfig().env_runners(num_env_runners=4))
    few = QMIXConfig().env_runners(num_env_runners=2).evaluation(evaluation_num_env_runners=1)
    assert not said(few.learners(num_learners=1))


def test_too_many(said):
    for config, lacks in (
        (QMIXConfig().env_runners(num_env_runners=9), "9 other processes have 9 of CPU"),
        (
            QMIXConfig().env_runners(num_env_runners=3).evaluation(evaluation_num_env_runners=2),
            "5 of CPU, of which there are 4",
        ),
        (QMIXConfig().learners(num_learners=1, num_gpus_per_learner=99), "99 of GPU, of which"),
        (
            QMIXConfig().env_runners(
                num_env_runners=1, custom_resources_per_env_runner={"game_host": 2}
            ),
            "2 of game_host, of which there are 0",
        ),
    ):
        assert lacks in said(config)
