"""Results of an update that returns none are part of the next one's."""

import pytest
from ray.rllib.core import ALL_MODULES, DEFAULT_MODULE_ID
from ray.rllib.utils.metrics import (
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_ENV_STEPS_TRAINED_LIFETIME,
    NUM_EPISODES_LIFETIME,
)

from benchmarks.teams import SIZES, random_episodes
from benchmarks.updaters import build_learner
from rllib_qatten import QattenConfig, keys

TIMESTEPS = {NUM_ENV_STEPS_SAMPLED_LIFETIME: 0, NUM_EPISODES_LIFETIME: 0}
MEANS = keys.TD_ERROR_ABS, keys.Q_TOT_MEAN, keys.TARGET_MEAN, "head_0_entropy"


def test_results_of_several_updates_are_the_means_of_theirs():
    size = SIZES["tiny"]
    batches = [random_episodes(size, ragged=True) for _ in range(3)]
    one_by_one, together = (build_learner(QattenConfig(), size) for _ in range(2))
    single = [one_by_one.update(episodes=batch, timesteps=TIMESTEPS) for batch in batches]
    assert all(
        together.update(episodes=batch, timesteps=TIMESTEPS, statistics=False) is None
        for batch in batches[:-1]
    )
    found = together.update(episodes=batches[-1], timesteps=TIMESTEPS)

    for name in MEANS:
        theirs = [result[DEFAULT_MODULE_ID][name].peek() for result in single]
        assert found[DEFAULT_MODULE_ID][name].peek() == pytest.approx(sum(theirs) / 3, rel=1e-6)
    loss = single[-1][DEFAULT_MODULE_ID]["total_loss"].peek()
    assert found[DEFAULT_MODULE_ID]["total_loss"].peek() == loss
    trained = found[ALL_MODULES][NUM_ENV_STEPS_TRAINED_LIFETIME].peek()
    assert trained == sum(len(episode) for batch in batches for episode in batch)
