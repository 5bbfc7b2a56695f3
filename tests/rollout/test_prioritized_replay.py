import numpy as np
import pytest

from rllib_qatten.rollout.prioritized_replay import LEAST, PrioritizedReplay
from tests.rollout.test_episode import record

ALPHA = 0.7


@pytest.fixture(scope="module")
def episodes():
    return record([{"lengths": [1, 2, 3]}], 60)[1]


def replay_of(episodes, capacity=8, seed=0, alpha=ALPHA, beta=0.4):
    replay = PrioritizedReplay(
        capacity, seed, priority_exponent=alpha, importance_exponent=beta
    )  # fmt: skip
    replay.add(episodes)
    return replay


def brute_force(priorities, alpha, beta):
    """Probabilities and importance weights, number by number."""
    powers = [(p + LEAST) ** alpha for p in priorities]
    probabilities = [power / sum(powers) for power in powers]
    weights = [(len(powers) * p) ** -beta for p in probabilities]
    return probabilities, [w / max(weights) for w in weights]


def test_probabilities_and_weights_are_the_papers(episodes):
    replay = replay_of(episodes[:8], beta=[[0, 0.4], [100, 1.0]])
    given = [0.1, 3.0, 0.0, 0.7, 0.7, 12.0, 0.01, 1.0]
    replay.update_priorities(np.arange(8), np.array(given))
    for env_steps, beta in ((0, 0.4), (50, 0.7), (1000, 1.0)):
        probabilities, weights = brute_force(given, ALPHA, beta)
        np.testing.assert_allclose(replay.probabilities, probabilities, rtol=1e-12)
        drawn = replay.sample(8, env_steps)
        np.testing.assert_allclose(drawn.weights, np.array(weights)[drawn.indices], rtol=1e-6)
        assert all(e.rewards is replay.episodes[i].rewards for e, i in zip(*drawn, strict=True))


def test_frequencies_follow_the_probabilities(episodes):
    replay = replay_of(episodes[:8], seed=3)
    replay.update_priorities(np.arange(8), np.array([0.1, 3.0, 0.2, 0.7, 0.7, 9.0, 0.05, 1.0]))
    draws = 5000
    drawn = np.concatenate([replay.sample(8).indices for _ in range(draws // 8)])
    counts = np.bincount(drawn, minlength=8)
    expected = replay.probabilities * len(drawn)
    # The 99.9th percentile of chi-square with 7 degrees of freedom.
    assert ((counts - expected) ** 2 / expected).sum() < 24.3


def test_new_episodes_get_the_greatest_priority(episodes):
    replay = replay_of(episodes[:4])
    np.testing.assert_allclose(replay.probabilities, 0.25)
    replay.update_priorities(np.array([1, 2]), np.array([5.0, 0.5]))
    replay.add(episodes[4:5])
    p = replay.probabilities
    assert p[4] == p[1] > p[0] == p[3] > p[2]


def test_priorities_stay_with_their_episodes_when_old_ones_go(episodes):
    replay = replay_of(episodes[:8])
    replay.update_priorities(np.arange(8), np.arange(1.0, 9.0))
    before = replay.probabilities
    replay.add(episodes[8:11])
    # Of the episodes that were drawn before, three are gone: their priorities are passed over.
    p = replay.probabilities
    np.testing.assert_allclose(p[:5] / p[0], before[3:] / before[3])
    replay.update_priorities(np.array([0, 2, 3, 10]), np.array([100.0, 100.0, 0.5, 2.0]))
    p = replay.probabilities
    powers = (np.array([0.5, 5, 6, 7, 8, 8, 8, 2]) + LEAST) ** ALPHA
    np.testing.assert_allclose(p, powers / powers.sum(), rtol=1e-5)


@pytest.mark.parametrize("capacity", [8, 5])
def test_state_goes_on_exactly(episodes, capacity):
    first = replay_of(episodes[:11])
    first.update_priorities(np.arange(3, 11), np.arange(1.0, 9.0))
    second = replay_of(first.episodes, capacity, seed=9)
    second.set_state(first.get_state())
    if capacity == 8:
        for _ in range(3):
            ours, theirs = first.sample(6), second.sample(6)
            np.testing.assert_array_equal(ours.indices, theirs.indices)
            np.testing.assert_array_equal(ours.weights, theirs.weights)
            pairs = zip(ours.episodes, theirs.episodes, strict=True)
            assert all((one.state == other.state).all() for one, other in pairs)
    else:
        expected = first.probabilities[3:] / first.probabilities[3:].sum()
        np.testing.assert_allclose(second.probabilities, expected)


def test_a_state_without_episodes_or_priorities_leaves_all_alike(episodes):
    first = replay_of(episodes[:8])
    first.update_priorities(np.array([0]), np.array([4.0]))
    second = replay_of([])
    second.set_state(first.get_state())
    second.add(episodes[:3])
    np.testing.assert_allclose(second.probabilities, 1 / 3)
    assert second.sample(3).indices.min() >= 8


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"alpha": 0}, "above 0; got 0. With 0 all episodes are drawn alike"),
        ({"alpha": -1.0}, "priority_exponent must be above 0; got -1.0"),
        ({"beta": 1.5}, r"importance_exponent must be a number in \[0, 1\]"),
    ],
)
def test_exponents_out_of_range(settings, says):
    with pytest.raises(ValueError, match=says):
        replay_of([], **settings)


def test_what_is_no_priority_is_refused(episodes):
    replay = replay_of(episodes[:8])
    for bad in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="finite and not negative"):
            replay.update_priorities(np.array([0]), np.array([bad]))
    with pytest.raises(ValueError, match="A batch of 9"):
        replay.sample(9)
