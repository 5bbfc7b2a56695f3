import numpy as np
import pytest
import torch

from rllib_qatten.training.returns import lambda_returns, n_step_returns


def brute_force(rewards, values, terminated, gamma, td_lambda):
    """The definition: (1 - lambda) sum_n lambda^(n-1) G^(n), the longest return taking the rest."""
    steps = len(rewards)
    returns = []
    for t in range(steps):
        total, discounted = 0.0, 0.0
        for n in range(1, steps - t + 1):
            discounted += gamma ** (n - 1) * rewards[t + n - 1]
            ends = terminated and t + n == steps
            n_step = discounted + (0.0 if ends else gamma**n) * values[t + n]
            weight = td_lambda ** (n - 1) * (1 if t + n == steps else 1 - td_lambda)
            total += weight * n_step
        returns.append(total)
    return returns


def n_step_brute_force(rewards, values, terminated, gamma, n_step):
    steps = len(rewards)
    returns = []
    for t in range(steps):
        n = min(n_step, steps - t)
        ends = terminated and t + n == steps
        total = sum(gamma**k * rewards[t + k] for k in range(n))
        returns.append(total + (0.0 if ends else gamma**n) * values[t + n])
    return returns


EPISODES = [(5, True), (3, False), (3, True), (1, True)]
SIZES = [sum(n > t for n, _ in EPISODES) for t in range(5)]


def packed(rows):
    return torch.tensor(np.array([rows[i][t] for t, k in enumerate(SIZES) for i in range(k)]))


def games(*trailing):
    """Rewards [T], values [T+1, *trailing] and how it ended, of every episode."""
    rng = np.random.default_rng(0)
    shape = trailing or ()
    return [(rng.normal(size=n), rng.normal(size=(n + 1, *shape)), end) for n, end in EPISODES]


def arguments(data):
    return (
        packed([r for r, _, _ in data]),
        packed([[end and t + 1 == len(r) for t in range(len(r))] for r, _, end in data]),
        packed([v[1:] for _, v, _ in data]),
        torch.ones(sum(SIZES), dtype=torch.bool),
        SIZES,
        0.9,
    )


@pytest.mark.parametrize("agents", [(), (2,)])
@pytest.mark.parametrize("td_lambda", [0.0, 0.3, 0.8, 1.0])
def test_lambda_returns_against_the_definition(td_lambda, agents):
    data = games(*agents)
    expected = [brute_force(r, v, end, 0.9, td_lambda) for r, v, end in data]
    got = lambda_returns(*arguments(data), td_lambda)
    torch.testing.assert_close(got, packed(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("agents", [(), (2,)])
@pytest.mark.parametrize("n_step", [1, 2, 3, 9])
def test_n_step_returns_against_the_definition(n_step, agents):
    data = games(*agents)
    expected = [n_step_brute_force(r, v, end, 0.9, n_step) for r, v, end in data]
    got = n_step_returns(*arguments(data), n_step)
    torch.testing.assert_close(got, packed(expected), rtol=1e-12, atol=1e-12)


def test_padding_ends_an_episode():
    rewards, values = torch.ones(6), torch.full((6,), 10.0)
    mask = torch.tensor([True, True, True, True, False, False])  # two of two episodes' three steps
    got = n_step_returns(rewards, torch.zeros(6), values, mask, [2, 2, 2], 0.5, 3)
    assert got[:4].tolist() == [1 + 0.5 * 6.0] * 2 + [6.0] * 2


@pytest.mark.parametrize("returns", [lambda_returns, n_step_returns])
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("rewards", (5,)),
        ("rewards", (6, 1)),
        ("terminated", (7,)),
        ("next_values", (1, 6)),
        ("next_values", ()),
        ("mask", (1,)),
    ],
)
def test_tensors_of_other_shapes_are_refused_in_words(returns, name, shape):
    """The compiled function would write beyond their ends."""
    given = {"rewards": torch.ones(6), "terminated": torch.zeros(6, dtype=torch.bool)}
    given |= {"next_values": torch.ones(6), "mask": torch.ones(6, dtype=torch.bool)}
    given[name] = given[name].new_zeros(shape)
    with pytest.raises(ValueError, match=rf"M = 6 .*{name} \[{', '.join(map(str, shape))}\]"):
        returns(*given.values(), [2, 2, 2], 0.9, 1)
