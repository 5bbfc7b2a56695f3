"""Each setting's kind of value, over the tables of settings; search spaces are no values."""

import math

import pytest
from ray import tune

from rllib_qatten import QMIXConfig
from rllib_qatten.algorithms.kinds import KINDS
from rllib_qatten.algorithms.refusals import PLAYING
from rllib_qatten.algorithms.rllib_settings import WORKS, public

#: Settings of which a value that nothing accepts is not to be looked for.
OWN = {name for name, what in WORKS.items() if what == "RLlib's own"}


@pytest.mark.parametrize("name", [name for name in WORKS if name not in OWN])
def test_a_value_of_another_kind_is_refused_by_name(name):
    config = QMIXConfig().environment("two_step_game")
    setattr(config, name, object())
    said = public(name).removesuffix("_class")
    with pytest.raises(ValueError, match=rf"{said}\b.*object"):
        config.validate()


@pytest.mark.parametrize("name", KINDS)
def test_a_number_out_of_range_is_refused_by_name(name):
    for value in (-1, math.inf, "2"):
        config = QMIXConfig().environment("two_step_game")
        setattr(config, name, value)
        with pytest.raises(ValueError, match=rf"^{public(name)} must be .*; got {value!r}\.$"):
            config.validate()
        with pytest.raises(ValueError, match=f"^{public(name)} must be"):  # RLlib would drop a -1
            config.build_algo()
    if name in PLAYING:
        config = QMIXConfig().evaluation(evaluation_config={name: "no"})
        with pytest.raises(ValueError, match=rf"^evaluation_config.{name} must be .*got 'no'"):
            config.validate()


@pytest.mark.parametrize("value", [3, "explore", [("explore", True)]])
def test_evaluation_s_overrides_are_settings_by_name(value):
    with pytest.raises(ValueError, match="evaluation_config must be a dict of settings, or None"):
        QMIXConfig().evaluation(evaluation_config=value)


@pytest.mark.parametrize("name", [name for name in WORKS if name not in OWN])
def test_a_search_space_is_refused_where_a_value_is_needed(name):
    for value in (tune.choice([1, 2]), {"grid_search": [1, 2]}, {"a": [tune.uniform(0, 1)]}):
        config = QMIXConfig()
        setattr(config, name, value)
        with pytest.raises(ValueError, match=rf"^{public(name)} is a search space, .*a Tuner"):
            config.validate()
