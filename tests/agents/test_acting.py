"""`ActingStep` against `RecurrentAgent.step`."""

import pytest
import torch

from rllib_qatten.agents import ActingStep, RecurrentAgent


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
def test_equals_step_and_follows_refresh(dtype, atol):
    torch.manual_seed(0)
    agent = RecurrentAgent(6, 4, hidden_size=5).to(dtype)
    act = ActingStep(agent, 7)
    with torch.no_grad():
        for _ in range(2):
            hidden, expected = agent.initial_hidden(7), agent.initial_hidden(7)
            for _ in range(4):
                inputs = torch.randn(7, 6, dtype=dtype)
                utilities, expected = agent.step(inputs, expected)
                torch.testing.assert_close(act(inputs, hidden), utilities, rtol=0, atol=atol)
                torch.testing.assert_close(hidden, expected, rtol=0, atol=atol)
            for parameter in agent.parameters():
                parameter.add_(0.1)
            act.refresh()


def test_weights_are_a_copy_until_refresh():
    agent = RecurrentAgent(6, 4)
    act, inputs = ActingStep(agent, 2), torch.randn(2, 6)
    before = act(inputs, agent.initial_hidden(2)).clone()
    with torch.no_grad():
        agent.head.bias.add_(1)
    assert torch.equal(act(inputs, agent.initial_hidden(2)), before)
    act.refresh()
    torch.testing.assert_close(act(inputs, agent.initial_hidden(2)), before + 1)


def test_wrong_number_of_rows_is_explained():
    agent = RecurrentAgent(6, 4)
    act = ActingStep(agent, 2)
    with pytest.raises(ValueError, match=r"the 2 rows.*got \[3, 6\] and \[3, 64\]"):
        act(torch.zeros(3, 6), agent.initial_hidden(3))
