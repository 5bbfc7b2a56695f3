"""Names of other codes lead to ours."""

import re

import pytest

from rllib_qatten import ALGORITHMS, QattenConfig, QMIXConfig
from rllib_qatten.algorithms.old_names import OLD_NAMES
from rllib_qatten.experiment.experiment import Experiment
from tests.algorithms.settings_page import OLD_PAGE, names_table

SETTINGS = set().union(*(vars(a.get_default_config()) for a in ALGORITHMS.values()))
KNOWN = SETTINGS | set(ALGORITHMS) | set(Experiment.model_fields)


@pytest.mark.parametrize("name", OLD_NAMES)
def test_what_stands_on_the_right_exists(name):
    old = OLD_NAMES[name]
    assert name not in QattenConfig().keys(), "a setting of ours needs no hint"
    assert set(re.findall(r"\w+", old.here)) - {"and"} <= SETTINGS
    assert set(re.findall(r"`(\w+)`", old.note)) <= KNOWN
    assert old.here or old.note


def test_the_page_shows_the_table():
    assert names_table() in OLD_PAGE.read_text(), "run python -m tests.algorithms.settings_page"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("epsilon_anneal_time", r"PyMARL's name; here it is 'epsilon' \(a schedule over env steps"),
        ("test_interval", "'evaluation_interval' and 'min_sample_timesteps_per_iteration'"),
        ("standardise_rewards", "EPyMARL's name; here it is 'standardize_rewards'"),
        ("mixer", "there is no setting for it here: the algorithm itself"),
        ("no_done_at_end", "there is no setting for it here: truncate in the env"),
        ("replay_buffer_config", "'replay_capacity_episodes' and 'replay'"),
        ("Batch-Size", "'train_batch_size_episodes'"),
        ("training_iteration", "Tune's name; .* a stopping criterion: `stop` in YAML, --stop"),
        ("gama", "Did you mean 'gamma'"),
        ("learning_rat", "Did you mean 'learning_rate'.*here it is 'lr'"),
    ],
)
def test_a_hint_in_dicts_arguments_and_attributes(name, says):
    config = QMIXConfig().environment("two_step_game")
    for give in (
        lambda: config.update_from_dict({name: 1}),
        lambda: config.training(**{name: 1}),
        lambda: setattr(config, name, 1),
    ):
        with pytest.raises(ValueError, match=f"config key of QMIX: '{name}'.*{says}"):
            give()
