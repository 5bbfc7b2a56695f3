import numpy as np
import pytest
import torch

from rllib_qatten.training.returns import lambda_returns


def brute_force(rewards, values, terminated, gamma, td_lambda):
    """The definition: (1 - lambda) sum_n lambda^(n-1) G^(n), the longest return taking the rest."""
    steps = len(rewards)
    returns = []
    for t in range(steps):
        total, discounted = 0.0, 0.0
        for n in range(1, steps - t + 1):
            discounted += gamma ** (n - 1) * rewards[t + n - 1]
            ends = terminated and t + n == steps
            n_step = discounted + (0 if ends else gamma**n * values[t + n])
            weight = td_lambda ** (n - 1) * (1 if t + n == steps else 1 - td_lambda)
            total += weight * n_step
        returns.append(total)
    return returns


@pytest.mark.parametrize("td_lambda", [0.0, 0.3, 0.8, 1.0])
def test_against_the_definition(td_lambda):
    rng = np.random.default_rng(0)
    episodes = [(5, True), (3, False), (3, True), (1, True)]
    data = [(rng.normal(size=n), rng.normal(size=n + 1), end) for n, end in episodes]
    expected = [brute_force(r, v, end, 0.9, td_lambda) for r, v, end in data]
    sizes = [sum(n > t for n, _ in episodes) for t in range(5)]

    def packed(rows):
        return torch.tensor([rows[i][t] for t, k in enumerate(sizes) for i in range(k)])

    got = lambda_returns(
        packed([r for r, _, _ in data]),
        packed([[end and t + 1 == len(r) for t in range(len(r))] for r, _, end in data]),
        packed([v[1:] for _, v, _ in data]),
        torch.ones(sum(sizes), dtype=torch.bool),
        sizes,
        0.9,
        td_lambda,
    )
    torch.testing.assert_close(got, packed(expected), rtol=1e-12, atol=1e-12)
