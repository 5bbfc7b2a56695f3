"""The compiled recurrent agent against torch's form in float64: values, gradients, every option."""

import copy
import dataclasses

import pytest
import torch

from rllib_qatten.agents import EpisodeInputs, GroupedAgent, InputLayout, RecurrentAgent
from rllib_qatten.agents import compiled_recurrent as compiled
from rllib_qatten.compiled.compiler import kernels
from tests.agents.packing import (
    LENGTHS,
    assert_close,
    batch_sizes,
    check_interleaved_calls,
    check_second_derivatives,
)

pytestmark = pytest.mark.skipif(kernels("recurrent") is None, reason="numba is not installed")
N, SEEN, A = 3, 6, 4


@pytest.fixture
def counted(monkeypatch):
    """The arguments of each compiled forward."""
    calls = []
    made = compiled.Unrolling
    monkeypatch.setattr(compiled, "Unrolling", lambda *a: calls.append(a) or made(*a))
    return calls


def inputs_of(layout, sizes, dtype=torch.float32):
    """Random episodes in which some agents are dead: they observe nothing."""
    g = torch.Generator().manual_seed(0)
    p = sum(sizes)
    observations = torch.randn(p, layout.n_agents, layout.observation_size, generator=g)
    last_actions = torch.randint(-1, layout.n_actions, (p, layout.n_agents), generator=g)
    dead = torch.rand(p, layout.n_agents, generator=g) < 0.4
    observations[dead], last_actions[dead] = 0, last_actions[dead].clamp(max=0)
    return EpisodeInputs(layout, observations.to(dtype), last_actions)


def both(layer_norm=False, last_action=True, agent_id=True, sizes=(3, 2, 2, 1), hidden=5):
    """An agent and its inputs in float32, and in float64."""
    torch.manual_seed(0)
    layout = InputLayout(SEEN, A, N, last_action, agent_id)
    agent = RecurrentAgent(layout.size, A, hidden, layer_norm)
    with torch.no_grad():
        for parameter in agent.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    exact = copy.deepcopy(agent).double()
    return (agent, inputs_of(layout, sizes)), (exact, inputs_of(layout, sizes, torch.float64))


def results(agent, inputs, sizes, with_head):
    found = agent(inputs, sizes) if with_head else agent.hidden_states(inputs, sizes)
    factor = torch.linspace(0.2, 1, found.numel()).view_as(found).to(found)
    parameters = list(agent.parameters())
    unused = {"allow_unused": True, "materialize_grads": True}
    return [found, *torch.autograd.grad((found * factor).sum(), parameters, **unused)]


@pytest.mark.parametrize("with_head", [True, False])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_equals_torch_in_float64(lengths, layer_norm, with_head, counted, monkeypatch):
    sizes = batch_sizes(lengths)
    for block in (1, 12, 512):
        monkeypatch.setattr(compiled, "BLOCK", block)
        ours, exact = both(layer_norm, sizes=sizes)
        counted.clear()
        found, wanted = results(*ours, sizes, with_head), results(*exact, sizes, with_head)
        assert len(counted) == 1
        for a, b in zip(found, wanted, strict=True):
            assert_close(a.double(), b, 1e-6)


@pytest.mark.parametrize("parts", [(True, False), (False, True), (False, False)])
def test_inputs_without_last_action_or_id(parts, counted):
    sizes = [3, 2, 2, 1]
    ours, exact = both(False, *parts, sizes=sizes)
    found, wanted = results(*ours, sizes, True), results(*exact, sizes, True)
    assert len(counted) == 1
    for a, b in zip(found, wanted, strict=True):
        assert_close(a.double(), b, 1e-6)


@pytest.mark.parametrize("dead", [0, 0.5, 1])
def test_rows_without_an_observation_pass_the_encoder_once(dead, counted):
    sizes = [150, 140, 70]  # more rows than a block
    ours, exact = both(True, sizes=sizes)
    g = torch.Generator().manual_seed(1)
    observations = torch.randn(sum(sizes), N, SEEN, generator=g)
    observations[torch.rand(sum(sizes), N, generator=g) < dead] = 0
    for _, inputs in (ours, exact):
        inputs.observations[:] = observations
    for a, b in zip(results(*ours, sizes, True), results(*exact, sizes, True), strict=True):
        assert_close(a.double(), b, 1e-6)
    rows, (entered, *_) = ours[1].tensor.flatten(0, 1), counted[0]
    assert len(entered.observations) == (observations != 0).any(-1).sum()
    different = len(entered.last) + len(entered.unseen_last)
    assert different == len(rows.unique(dim=0))  # of others one per last action and id


@pytest.mark.parametrize("block", [1, 12, 512])
def test_without_a_gradient_the_same_numbers(block, monkeypatch):
    monkeypatch.setattr(compiled, "BLOCK", block)
    (agent, inputs), _ = both(layer_norm=True)
    wanted = agent(inputs, [3, 2, 2, 1])
    with torch.no_grad():
        assert torch.equal(agent(inputs, [3, 2, 2, 1]), wanted)
        agent.requires_grad_(False)
    assert torch.equal(agent(inputs, [3, 2, 2, 1]), wanted)


def test_live_and_target_networks_read_inputs_once(counted):
    (agent, inputs), _ = both()
    first = agent(inputs, [3, 2, 2, 1])
    assert torch.equal(copy.deepcopy(agent)(inputs, [3, 2, 2, 1]), first)
    (live, *_), (target, *_) = counted
    assert live is target


def test_inputs_of_other_sizes_are_refused():
    (_, inputs), _ = both()
    with pytest.raises(ValueError, match="observations must be"):
        EpisodeInputs(inputs.layout, inputs.observations[..., 1:], inputs.last_actions)
    with pytest.raises(ValueError, match="last_actions must be"):
        EpisodeInputs(inputs.layout, inputs.observations, inputs.last_actions[1:])


def test_last_actions_that_there_are_not_are_as_in_the_one_hot_form():
    (agent, inputs), (exact, exact_inputs) = both()
    for given in (inputs, exact_inputs):
        given.last_actions[0] = A + 7
        given.last_actions[1] = -5
    sizes = [3, 2, 2, 1]
    assert_close(agent(inputs, sizes).double(), exact(exact_inputs, sizes), 1e-6)


def test_calls_can_be_interleaved():
    (agent, inputs), _ = both()
    check_interleaved_calls(agent, inputs, [3, 2, 2, 1])


def test_second_derivatives():
    check_second_derivatives(both(), [3, 2, 2, 1])


def test_saturated_gates_and_what_is_not_a_number():
    (agent, inputs), (exact, exact_inputs) = both()
    sizes = [3, 2, 2, 1]
    inputs.observations[0, 0, 0] = exact_inputs.observations[0, 0, 0] = 1e6
    assert_close(agent(inputs, sizes).double(), exact(exact_inputs, sizes), 1e-6)
    inputs = dataclasses.replace(inputs)  # the old ones have been read
    inputs.observations[0, 0, 0] = float("nan")
    found = agent(inputs, sizes)
    assert found[0, 0].isnan().all()
    assert found[:, 1:].isfinite().all()
    with torch.no_grad():
        agent.encoder.bias[0] = float("nan")
    assert agent(inputs, sizes).isnan().all()


def test_other_agents_and_tensors_take_torchs_form(counted):
    (agent, inputs), (exact, exact_inputs) = both()
    sizes = [3, 2, 2, 1]
    exact(exact_inputs, sizes)
    agent(inputs.tensor, sizes)
    agent.precision = torch.bfloat16
    agent(inputs, sizes)
    GroupedAgent([copy.deepcopy(agent), agent], [0, 1, 0])(inputs, sizes)
    assert not counted
