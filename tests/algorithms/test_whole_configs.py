"""Whole configs, as objects or dicts: which algorithm takes which."""

import copy

import pytest
from ray import cloudpickle
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from rllib_qatten import ALGORITHMS, QMIXConfig
from rllib_qatten.errors import BadInput
from tests.algorithms.test_config import PYMARL, has


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("algorithm", "kind"), [("Qatten", "QMIX"), ("QMIX", "Qatten"), ("VDN", "QMIX")]
)
def test_another_algorithms_whole_config_is_refused(algorithm, kind):
    given = ALGORITHMS[kind].get_default_config().environment("two_step_game")
    says = f"of an algorithm whose policy is {kind}RLModule, but {algorithm}'s is {algorithm}RLM"
    with pytest.raises(BadInput, match=says):
        ALGORITHMS[algorithm](config=given)
    with pytest.raises(BadInput, match=says):
        ALGORITHMS[algorithm](config=given.to_dict())


@pytest.mark.usefixtures("ray_session")
def test_a_subclass_takes_the_config_of_the_algorithm_that_it_extends():
    mine = type("MyQMIX", (ALGORITHMS["QMIX"],), {})
    mine(config=QMIXConfig().environment("two_step_game")).stop()


@pytest.mark.usefixtures("ray_session")
def test_configs_may_be_shared_and_extended():
    qmix, own = ALGORITHMS["QMIX"], type("OwnDefaults", (QMIXConfig,), {})
    for given in (own().environment("two_step_game"), own(qmix).environment("two_step_game")):
        qmix(config=given.to_dict()).stop()
        qmix(config=given).stop()
    same = type("SameConfig", (qmix,), {"config_class": QMIXConfig})
    one = type("One", (qmix,), {"config_class": own})
    other = type("Other", (qmix,), {"config_class": own})
    assert QMIXConfig().algo_class is qmix
    for algorithm in (qmix, same, one, other):
        config = algorithm.get_default_config().environment("two_step_game")
        built = config.build_algo()
        assert type(built) is algorithm
        assert built.config.name == algorithm.__name__
        built.stop()
    QMIXConfig.from_dict(own().to_dict())


def test_all_settings_of_another_kind_of_config_are_refused():
    """Its defaults would replace this package's own, one by one."""
    with pytest.raises(ValueError, match=r"would replace QMIX's: start from QMIXConfig\(\)"):
        QMIXConfig().update_from_dict(AlgorithmConfig().environment("two_step_game").to_dict())


@pytest.mark.parametrize("name", ALGORITHMS)
def test_copies_dicts_and_pickles_are_the_same_settings(name):
    config = ALGORITHMS[name].get_default_config().training(recipe="smax", lr=0.1)
    config.environment("two_step_game")
    default = ALGORITHMS[name].get_default_config
    for other in (
        default().update_from_dict(config.to_dict()),
        default().from_state(config.get_state()),
        config.copy(),
        copy.deepcopy(config),
        cloudpickle.loads(cloudpickle.dumps(config)),
    ):
        theirs, ours = other.to_dict(), config.to_dict()
        differ = {k for k in theirs.keys() | ours.keys() if k != "policies"
                  and k != "class" and theirs.get(k) != ours.get(k)}  # fmt: skip
        assert not differ
        other.training(recipe="pymarl")
        assert has(other, PYMARL | {"lr": 0.1})
    assert config.lr == 0.1
    assert config.recipe == "smax"
