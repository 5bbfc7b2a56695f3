"""Weights of fewer updates than one's own: RLlib keeps its own, in silence."""

import numpy as np
import pytest

from rllib_qatten import ALGORITHMS
from rllib_qatten.checkpoints.folder import CheckpointError
from rllib_qatten.errors import BadInput
from tests.algorithms.tiny import assert_equal, build, weights

pytestmark = pytest.mark.usefixtures("ray_session")


def everywhere(algorithm):
    """The agent network of all processes that play."""
    groups = algorithm.env_runner_group, algorithm.eval_env_runner_group
    return [
        module
        for group in groups
        for module in group.foreach_env_runner(lambda runner: runner.module.get_state())
    ]


def assert_all_have(algorithm, wanted):
    algorithm.evaluate()  # its env runners get the weights then
    assert_equal(weights(algorithm), wanted)
    for module in everywhere(algorithm):
        assert module.keys() <= wanted.keys()
        assert_equal(module, {name: wanted[name] for name in module})


@pytest.fixture(params=[0, pytest.param(1, marks=pytest.mark.slow)])
def early(request, tmp_path):
    """An algorithm, its state and weights after an iteration, and its checkpoint then."""
    algorithm = build("QMIX", seed=1, num_env_runners=request.param, evaluation_interval=1)
    algorithm.train()
    state, own = algorithm.get_state(), weights(algorithm)
    algorithm.save_to_path(tmp_path / "early")
    for _ in range(2):
        algorithm.train()
    assert not np.array_equal(weights(algorithm)["agent.head.bias"], own["agent.head.bias"])
    yield algorithm, state, own, tmp_path / "early"
    algorithm.stop()


def test_a_checkpoint(early):
    algorithm, _, own, path = early
    algorithm.restore_from_path(path)
    assert_all_have(algorithm, own)
    fresh = type(algorithm).from_checkpoint(path)
    for _ in range(2):
        algorithm.train()
        fresh.train()
    assert_all_have(algorithm, weights(fresh))
    fresh.stop()


def test_a_state(early):
    algorithm, state, own, _ = early
    algorithm.set_state(state)
    assert algorithm.iteration == 1
    assert_all_have(algorithm, own)


def test_weights(early):
    algorithm, state, own, _ = early
    algorithm.set_weights(state["learner_group"]["learner"]["rl_module"])
    assert algorithm.iteration == 3
    assert_all_have(algorithm, own)


@pytest.fixture(scope="module")
def algorithm(ray_session):
    algorithm = build("QMIX")
    algorithm.train()
    yield algorithm
    algorithm.stop()


def state_of(name, **settings):
    other = build(name, **settings)
    state = other.get_state()
    other.stop()
    return state


STATES = {
    "another env's": (
        lambda: state_of("QMIX", env="matrix_game"),
        "encoder.weight has shape",
    ),
    "another algorithm's": (lambda: state_of("VDN"), "state of VDN, which does not go into QMIX"),
    "another optimizer's": (
        lambda: state_of("QMIX", optimizer_name="adam"),
        "its optimizer_name is adam",
    ),
    "a misspelt part's": (lambda: {"learnergroup": {}}, "no 'learnergroup', but learner_group"),
}


@pytest.mark.parametrize(("state", "told"), STATES.values(), ids=STATES)
def test_states_that_do_not_fit_change_nothing(algorithm, state, told):
    before = weights(algorithm)
    with pytest.raises(ValueError, match=told):
        algorithm.set_state(state())
    assert_equal(weights(algorithm), before)
    assert algorithm.iteration == 1


def changed(weights, **changes):
    weights = {**weights, **changes}
    return {name: weight for name, weight in weights.items() if weight is not None}


WEIGHTS = {
    "unknown": ({"foo": np.zeros(3)}, "foo is unknown here"),
    "missing": ({"agent.head.bias": None}, "agent.head.bias is missing"),
    "not finite": (
        {"agent.head.bias": np.full(2, np.nan)},
        "bias holds values that are not finite",
    ),
}


@pytest.mark.parametrize(("changes", "told"), WEIGHTS.values(), ids=WEIGHTS)
def test_weights_that_do_not_fit_change_nothing(algorithm, changes, told):
    before = weights(algorithm)
    with pytest.raises(BadInput, match=f"{told}.*Nothing was changed"):
        algorithm.set_weights({"default_policy": changed(before, **changes)})
    assert_equal(weights(algorithm), before)


def test_parts_that_there_are_not(algorithm):
    with pytest.raises(BadInput, match="no 'learners/rl_module'"):
        algorithm.get_state(components="learners/rl_module")
    assert "learner_group" in algorithm.get_state(components="learner_group")


def test_a_checkpoint_brings_its_settings(algorithm, tmp_path):
    algorithm.save_to_path(tmp_path / "saved")
    with pytest.raises(BadInput, match=r"not config: .*config.build_algo\(\)"):
        type(algorithm).from_checkpoint(tmp_path / "saved", config=algorithm.config)
    with pytest.raises(CheckpointError, match=r"checkpoint of QMIX, not of VDN: .*QMIX.from_ch"):
        ALGORITHMS["VDN"].from_checkpoint(tmp_path / "saved")
    with pytest.raises(CheckpointError, match="it is a file"):
        type(algorithm).from_checkpoint(tmp_path / "saved" / "SHA256SUMS")
    with pytest.raises(BadInput, match="empty path"):
        algorithm.save_to_path("")
