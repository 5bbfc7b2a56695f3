"""Battles learned again, from the committed experiments with fewer steps (minutes)."""

from pathlib import Path

import pytest

from rllib_qatten import ALGORITHMS
from rllib_qatten.envs.battles import smax
from rllib_qatten.experiment.file import read

pytestmark = [
    pytest.mark.skipif(not smax.installed(), reason="the extra smax is not installed"),
    pytest.mark.learning,
    pytest.mark.usefixtures("ray_session"),
]

EXAMPLES = Path(__file__).parents[1] / "tuned_examples"


@pytest.mark.parametrize(
    ("example", "steps", "win_rate"), [("qatten_3m", 700_000, 0.8), ("qatten_2s3z", 500_000, 0.6)]
)
def test_learns_to_win(example, steps, win_rate):
    """Far above random play (0), and within the noise of what the example's runs had by then."""
    (experiment,) = read(EXAMPLES / f"{example}.yaml")
    settings = {"env": experiment.env, **experiment.config}
    config = ALGORITHMS[experiment.run].get_default_config().update_from_dict(settings)
    algorithm = config.build_algo()
    played, rates = 0, []
    while played < steps:
        result = algorithm.train()
        played = result["num_env_steps_sampled_lifetime"]
        rates.append(result["evaluation"]["env_runners"]["win_rate"])
    algorithm.stop()
    assert max(rates[-3:]) >= win_rate
