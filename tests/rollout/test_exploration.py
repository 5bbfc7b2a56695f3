import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rllib_qatten.rollout.exploration import EpsilonSchedule, epsilon_greedy, greedy


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_only_legal_actions(seed, epsilon):
    rng = np.random.default_rng(seed)
    legal = rng.random((5, 3, 6)) < 0.4
    legal[..., 2] = True
    chosen = epsilon_greedy(rng.normal(size=(5, 3, 6)), legal, epsilon, rng)
    assert np.take_along_axis(legal, chosen[..., None], -1).all()


def test_zero_is_greedy_and_one_is_uniform():
    rng = np.random.default_rng(0)
    utilities = np.tile([0.0, 5.0, 1.0, 9.0], (40_000, 1))
    legal = np.tile([True, True, True, False], (40_000, 1))
    assert (epsilon_greedy(utilities, legal, 0.0, rng) == 1).all()
    shares = np.bincount(epsilon_greedy(utilities, legal, 1.0, rng), minlength=4) / 40_000
    np.testing.assert_allclose(shares, [1 / 3, 1 / 3, 1 / 3, 0], atol=0.01)


def test_epsilon_is_the_share_that_explores():
    rng = np.random.default_rng(0)
    utilities, legal = np.tile([1.0, 0.0], (40_000, 1)), np.ones((40_000, 2), bool)
    assert epsilon_greedy(utilities, legal, 0.3, rng).mean() == pytest.approx(0.15, abs=0.01)


def test_no_legal_action_stays_finite():
    assert greedy(np.ones((2, 3)), np.zeros((2, 3), bool)).tolist() == [0, 0]


def test_schedule_has_corners():
    epsilon = EpsilonSchedule([[0, 1.0], [10, 0.5], [30, 0.1]])
    assert [epsilon(t) for t in (0, 5, 10, 20, 30, 99)] == pytest.approx(
        [1, 0.75, 0.5, 0.3, 0.1, 0.1]
    )
    assert EpsilonSchedule(0.3)(77) == 0.3


@pytest.mark.parametrize(
    "wrong",
    [
        1.1,
        True,
        [[0, 1], [5, -0.1]],
        [[1, 1.0]],
        [[0, 1], [0, 0.5]],
        [[0, 1], [float("inf"), 0]],
        [],
        [0, 1],
        [[0, 1, 2]],
    ],
)
def test_refuses(wrong):
    with pytest.raises(ValueError, match="epsilon must be"):
        EpsilonSchedule(wrong)
