"""The compiled choice of utilities, and compiled targets, against torch's forms."""

import pytest
import torch

from rllib_qatten.compiled.compiler import kernels
from rllib_qatten.training import returns, selection

pytestmark = pytest.mark.skipif(kernels("selection") is None, reason="numba is not installed")


@pytest.fixture
def by_torch(monkeypatch):
    """Runs a function with torch's forms."""

    def run(function, *arguments):
        with monkeypatch.context() as patched:
            for module in (selection, returns):
                patched.setattr(module, "kernels", lambda name: None)
            return function(*arguments)

    return run


def test_greedy_actions(by_torch):
    torch.manual_seed(0)
    utilities, legal = torch.randn(40, 3, 5), torch.rand(40, 3, 5) < 0.5
    legal[0, 0] = False
    legal[..., -1] |= legal.sum(-1) == 0
    utilities[1], legal[1] = 1.0, True  # the first of equals
    found = selection.greedy_actions(utilities, legal)
    assert torch.equal(found, by_torch(selection.greedy_actions, utilities, legal))
    assert torch.equal(found, torch.where(legal, utilities, -torch.inf).argmax(-1))
    assert (found[1] == 0).all()


def test_utilities_of_and_both_derivatives(by_torch):
    torch.manual_seed(0)
    utilities = torch.randn(9, 3, 5, requires_grad=True)
    rows, actions = torch.tensor([0, 4, 4, 8]), torch.randint(5, (4, 3))
    found = []
    for run in (lambda f, *a: f(*a), by_torch):
        taken = run(selection.utilities_of, utilities, rows, actions)
        (first,) = torch.autograd.grad((taken**3).sum(), utilities, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), utilities)
        found.append((taken, first, second))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)
    flat = selection.utilities_of(utilities, slice(5, 9), actions)
    assert torch.equal(flat, utilities[5:].gather(-1, actions.unsqueeze(-1)).squeeze(-1))


@pytest.mark.parametrize("td_lambda", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("agents", [(), (3,)])
def test_lambda_returns(td_lambda, agents, by_torch):
    torch.manual_seed(0)
    sizes = [4, 4, 2, 1]
    m = sum(sizes)
    given = torch.randn(m), torch.rand(m) < 0.2, torch.randn(m, *agents), torch.rand(m) < 0.8, sizes
    found = returns.lambda_returns(*given, 0.9, td_lambda)
    torch.testing.assert_close(found, by_torch(returns.lambda_returns, *given, 0.9, td_lambda))
    if agents:  # rewards corrected per agent, as Q(lambda) has them
        given = torch.randn(m, *agents), *given[1:]
        found = returns.lambda_returns(*given, 0.9, td_lambda)
        torch.testing.assert_close(found, by_torch(returns.lambda_returns, *given, 0.9, td_lambda))
