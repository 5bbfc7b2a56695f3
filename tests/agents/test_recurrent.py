"""`RecurrentAgent` on whole episodes against its own step, and against reference numbers."""

import copy
import itertools
import json
from pathlib import Path

import pytest
import torch

from rllib_qatten.agents import RecurrentAgent, unroll
from tests.agents.packing import LENGTHS, assert_close, batch_sizes

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5}


def make(lengths, n_agents=3, input_size=6, n_actions=4, hidden_size=5, dtype=torch.float64):
    torch.manual_seed(0)
    agent = RecurrentAgent(input_size, n_actions, hidden_size).to(dtype)
    return agent, torch.randn(sum(lengths), n_agents, input_size, dtype=dtype)


def by_steps(agent, inputs, sizes):
    """The textbook: one call of `step` per time step."""
    n_agents = inputs.shape[1]
    hidden = agent.initial_hidden(sizes[0] * n_agents)
    out = []
    for step in inputs.split(sizes):
        utilities, hidden = agent.step(step.flatten(0, 1), hidden[: len(step) * n_agents])
        out.append(utilities.unflatten(0, (-1, n_agents)))
    return torch.cat(out)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("n_agents", [1, 3])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_forward_equals_step(lengths, n_agents, dtype):
    agent, inputs = make(lengths, n_agents, dtype=dtype)
    inputs.requires_grad_()
    sizes, variables = batch_sizes(lengths), [inputs, *agent.parameters()]
    fast, slow = agent(inputs, torch.tensor(sizes)), by_steps(agent, inputs, sizes)
    weight = torch.randn_like(slow)
    assert_close(fast, slow, TOLERANCE[dtype])
    for a, b in zip(
        torch.autograd.grad(fast, variables, weight),
        torch.autograd.grad(slow, variables, weight),
        strict=True,
    ):
        assert_close(a, b, TOLERANCE[dtype])


@pytest.fixture
def golden(pytestconfig):
    cases = json.loads(Path(pytestconfig.getoption("--golden")).read_text())["cases"]
    case = next(c for c in cases if c["id"] == "agent_gru")
    config, weights = case["config"], case["weights"]
    agent = RecurrentAgent(config["input_dim"], config["n_actions"], config["hidden_dim"]).double()
    names = {
        f"{ours}.{name}": torch.tensor(value, dtype=torch.float64)
        for ours, theirs in {"encoder": "fc1", "gru": "gru", "head": "fc2"}.items()
        for name, value in weights[theirs].items()
    }
    agent.load_state_dict(names)
    return agent, *(
        torch.tensor(values, dtype=torch.float64)
        for values in (
            case["inputs"]["x_by_step"],
            case["outputs"]["q_by_step"],
            case["outputs"]["hidden_by_step"],
        )
    )


def test_golden_by_step(golden):
    agent, inputs, utilities, hiddens = golden
    hidden = agent.initial_hidden(inputs.shape[1])
    for x, q, h in zip(inputs, utilities, hiddens, strict=True):
        actual, hidden = agent.step(x, hidden)
        torch.testing.assert_close(actual, q, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(hidden, h, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("grad", [False, True])
def test_golden_by_whole_episodes(golden, grad):
    agent, inputs, utilities, hiddens = golden
    with torch.set_grad_enabled(grad):
        # Two agents of one episode, then two episodes of one agent: the same rows.
        for packed, sizes in ((inputs, [1, 1, 1]), (inputs.reshape(6, 1, 4), [2, 2, 2])):
            hidden = agent.hidden_states(packed, sizes)
            torch.testing.assert_close(hidden.view(3, 2, -1), hiddens, rtol=1e-8, atol=1e-10)
            actual = agent(packed, sizes)
            torch.testing.assert_close(actual.view(3, 2, -1), utilities, rtol=1e-8, atol=1e-10)


def test_unroll_gives_live_and_target():
    lengths = LENGTHS["ragged"]
    live, inputs = make(lengths)
    target = copy.deepcopy(live)
    with torch.no_grad():
        for p in target.parameters():
            p.add_(0.1)
    sizes = batch_sizes(lengths)
    utilities, target_utilities = unroll(live, target, inputs, sizes)
    assert_close(utilities, by_steps(live, inputs, sizes), 1e-10)
    assert_close(target_utilities, by_steps(target, inputs, sizes), 1e-10)
    assert utilities.requires_grad
    assert not target_utilities.requires_grad


def test_order_of_equally_long_episodes_does_not_matter():
    lengths, order = [6, 4, 4, 4, 2], [0, 3, 1, 2, 4]
    agent, inputs = make(lengths)
    sizes = batch_sizes(lengths)
    where = torch.cat([torch.tensor([i for i in order if i < n]) for n in sizes])
    starts = torch.tensor([0, *itertools.accumulate(sizes)][:-1]).repeat_interleave(
        torch.tensor(sizes)
    )
    entries = starts + where
    one, other = agent(inputs, sizes), agent(inputs[entries], sizes)
    assert_close(other, one[entries], 1e-12)
    weight = torch.randn_like(one)
    for a, b in zip(
        torch.autograd.grad(one, list(agent.parameters()), weight),
        torch.autograd.grad(other, list(agent.parameters()), weight[entries]),
        strict=True,
    ):
        assert_close(a, b, 1e-12)


def test_episodes_do_not_see_each_other():
    lengths = [5, 3, 3]
    agent, inputs = make(lengths)
    sizes = batch_sizes(lengths)
    changed = inputs.clone()
    changed[0] += 1  # the longest episode's first entry
    same = torch.tensor([i > 0 for n in sizes for i in range(n)])
    difference = agent(changed, sizes) - agent(inputs, sizes)
    assert difference[same].abs().max() == 0
    assert difference[~same].abs().min() > 0


def test_two_forwards_then_both_backwards():
    agent, inputs = make([7, 5])
    sizes = batch_sizes([7, 5])
    parameters, batches = list(agent.parameters()), [inputs, inputs.flip(0)]
    alone = [torch.autograd.grad(agent(x, sizes).square().sum(), parameters) for x in batches]
    outputs = [agent(x, sizes) for x in batches]
    together = [
        torch.autograd.grad(q.square().sum(), parameters, retain_graph=True) for q in outputs
    ]
    again = [torch.autograd.grad(q.square().sum(), parameters) for q in outputs]
    for first, second, third in zip(alone, together, again, strict=True):
        for a, b, c in zip(first, second, third, strict=True):
            assert torch.equal(a, b)
            assert torch.equal(a, c)


def test_hidden_states_have_gradients():
    agent, inputs = make([4, 2])
    sizes = batch_sizes([4, 2])
    hidden = agent.hidden_states(inputs, sizes)
    assert hidden.shape == (6, 3, 5)
    assert torch.equal(agent.head(hidden), agent(inputs, sizes))
    hidden.sum().backward()
    assert agent.encoder.weight.grad.abs().sum() > 0
    assert agent.head.weight.grad is None


def test_changing_hidden_states_in_place_is_noticed():
    agent, inputs = make([4, 2])
    hidden = agent.hidden_states(inputs, batch_sizes([4, 2]))
    with torch.no_grad():
        hidden.zero_()
    with pytest.raises(RuntimeError, match="modified inplace"):
        hidden.sum().backward()


def test_autocast_takes_the_textbook_path():
    agent, inputs = make([4, 2], dtype=torch.float32)
    sizes = batch_sizes([4, 2])
    with torch.autocast("cpu", torch.bfloat16):
        utilities = agent(inputs, sizes)
    torch.testing.assert_close(utilities.float(), agent(inputs, sizes), rtol=0.05, atol=0.02)
    utilities.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in agent.parameters())


def test_inference_mode_and_initial_hidden():
    agent, inputs = make([4, 2])
    expected = agent(inputs, [2, 2, 1, 1])
    with torch.inference_mode():
        assert_close(agent(inputs, [2, 2, 1, 1]), expected, 1e-12)
    hidden = agent.initial_hidden(2, 3)
    assert hidden.shape == (2, 3, 5)
    assert hidden.dtype == torch.float64
    assert not hidden.any()


def test_parameters_are_torch_defaults():
    torch.manual_seed(3)
    agent = RecurrentAgent(7, 4)
    torch.manual_seed(3)
    layers = torch.nn.Linear(7, 64), torch.nn.GRUCell(64, 64), torch.nn.Linear(64, 4)
    expected = [p for layer in layers for p in layer.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(agent.parameters(), expected, strict=True))


@pytest.mark.parametrize(
    ("shape", "sizes", "message"),
    [
        ((6, 3, 6), [2, 3, 1], r"never increase.*got \[2, 3, 1\]"),
        ((6, 3, 6), [3, 3, 0], "must be positive"),
        ((0, 3, 6), [], "must be positive"),
        ((6, 3, 6), [3, 2], r"inputs must be \[P=5, N, I=6\].*got \[6, 3, 6\]"),
        ((6, 3, 7), [3, 3], r"inputs must be \[P=6, N, I=6\].*got \[6, 3, 7\]"),
        ((6, 6), [3, 3], r"inputs must be \[P=6, N, I=6\].*got \[6, 6\]"),
    ],
)
def test_wrong_shapes_are_explained(shape, sizes, message):
    agent, _ = make([1])
    with pytest.raises(ValueError, match=message):
        agent(torch.zeros(shape, dtype=torch.float64), sizes)
