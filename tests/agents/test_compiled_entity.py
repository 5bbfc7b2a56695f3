"""The compiled entity agent against torch's form in float64: values, gradients, every option."""

import copy

import pytest
import torch

from rllib_qatten.agents import (
    ActingNetwork,
    Entities,
    EpisodeInputs,
    InputLayout,
    Rows,
    compiled_recurrent,
    entity,
    make_agent,
)
from rllib_qatten.compiled.compiler import kernels
from tests.agents.packing import (
    LENGTHS,
    assert_close,
    batch_sizes,
    check_interleaved_calls,
    check_second_derivatives,
)

pytestmark = pytest.mark.skipif(kernels("units") is None, reason="numba is not installed")
N, MATES, ENEMIES = 3, 2, 4


@pytest.fixture
def counted(monkeypatch):
    """The arguments of each compiled forward."""
    calls = []
    made = entity.UnitsUnrolling
    monkeypatch.setattr(entity, "UnitsUnrolling", lambda *a: calls.append(a) or made(*a))
    return calls


def layout(
    skip=(1, 2), attacks=2, helps=None, helper=None, mates=MATES, enemies=ENEMIES, own=(3, 2)
):
    of_mates = Rows(start=own[0], count=mates, size=4, skip=skip)
    of_enemies = Rows(start=of_mates.stop, count=enemies, size=5)
    own = ((0, own[0]), (of_enemies.stop, of_enemies.stop + own[1])) if any(own) else ()
    return Entities(
        own=own, teammates=of_mates, enemies=of_enemies,
        attacks=attacks, helps=helps, helper=helper,
    )  # fmt: skip


OPTIONS = {
    "attacks": (layout(), 2 + ENEMIES),
    "no targets": (layout(attacks=None), 3),
    "helps": (layout(helps=2 + ENEMIES), 2 + ENEMIES + N),
    "helps alone": (layout(None, None, 1), 1 + N),
    "helper": (layout(helps=2, helper=1), 2 + max(ENEMIES, N) + 1),
    "no own part": (layout(own=(0, 0)), 2 + ENEMIES),
    "alone": (layout(mates=0), 2 + ENEMIES),
    "nobody": (layout(mates=0, enemies=0), 3),
    "actions beyond": (layout(attacks=1), 3 + ENEMIES),
}


def inputs_of(entities, actions, sizes, told, dtype):
    """Random episodes in which some units, and all of some agents, are not seen."""
    g = torch.Generator().manual_seed(0)
    p, n = sum(sizes), entities.teammates.count + 1
    observations = torch.randn(p, n, entities.observation_size, generator=g)
    for part in (entities.teammates, entities.enemies):
        rows = observations[..., part.start : part.stop].unflatten(-1, (part.count, part.size))
        rows *= torch.rand(p, n, part.count, 1, generator=g) < 0.6
    for start, stop in entities.own:  # some see units, but nothing of themselves
        observations[..., start:stop] *= torch.rand(p, n, 1, generator=g) < 0.8
    observations[torch.rand(p, n, generator=g) < 0.2] = 0  # the dead see nothing
    last_actions = torch.randint(-1, actions, (p, n), generator=g)
    inputs = InputLayout(entities.observation_size, actions, n, told, agent_id=False)
    return EpisodeInputs(inputs, observations.to(dtype), last_actions)


def both(option="attacks", sizes=(3, 2, 2, 1), layer_norm=True, told=True, sharing="all", hidden=5):
    """An agent and its inputs in float32, and in float64."""
    torch.manual_seed(0)
    entities, actions = OPTIONS[option]
    ours, exact = (
        inputs_of(entities, actions, sizes, told, t) for t in (torch.float32, torch.float64)
    )
    agent = make_agent(
        ours.layout.size, actions, ours.layout.n_agents, kind="entity", entities=entities,
        sharing=sharing, hidden_size=hidden, layer_norm=layer_norm,
    )  # fmt: skip
    with torch.no_grad():
        for parameter in agent.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return (agent, ours), (copy.deepcopy(agent).double(), exact)


def results(agent, inputs, sizes, with_head=True, sparse=False):
    found = agent(inputs, sizes) if with_head else agent.hidden_states(inputs, sizes)
    factor = torch.linspace(0.2, 1, found.numel()).view_as(found).to(found)
    if sparse:  # as of a loss on the actions taken
        g = torch.Generator().manual_seed(1)
        factor = factor * (torch.rand(found.shape, generator=g) < 0.1)
    unused = {"allow_unused": True, "materialize_grads": True}
    return [found, *torch.autograd.grad((found * factor).sum(), list(agent.parameters()), **unused)]


def assert_equal(ours, exact, sizes, tolerance=1e-6, **how):
    found, wanted = results(*ours, sizes, **how), results(*exact, sizes, **how)
    for a, b in zip(found, wanted, strict=True):
        assert_close(a.double(), b, tolerance)


@pytest.mark.parametrize("with_head", [True, False])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_equals_torch_in_float64(lengths, with_head, counted, monkeypatch):
    sizes = batch_sizes(lengths)
    for block in (1, 12, 512):
        monkeypatch.setattr(compiled_recurrent, "BLOCK", block)
        for layer_norm in (False, True):
            ours, exact = both(sizes=sizes, layer_norm=layer_norm)
            counted.clear()
            assert_equal(ours, exact, sizes, with_head=with_head, sparse=layer_norm)
            assert len(counted) == 1


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("sharing", ["all", "none"])
@pytest.mark.parametrize("option", OPTIONS)
def test_equals_torch_whatever_actions_concern(option, sharing, told, counted):
    sizes = [4, 4, 3, 1]
    ours, exact = both(option, sizes, told=told, sharing=sharing)
    assert_equal(ours, exact, sizes, tolerance=5e-6)  # a layer norm of 5 numbers
    assert counted


def test_more_rows_than_a_block():
    sizes = [150, 140, 70]
    ours, exact = both(sizes=sizes, hidden=16)
    for sparse in (False, True):
        assert_equal(ours, exact, sizes, sparse=sparse)


def test_live_and_target_networks_read_inputs_once(monkeypatch):
    (agent, inputs), _ = both()
    calls = []
    monkeypatch.setattr(entity, "read", lambda *a, read=entity.read: calls.append(a) or read(*a))
    first = agent(inputs, [3, 2, 2, 1])
    assert torch.equal(copy.deepcopy(agent)(inputs, [3, 2, 2, 1]), first)
    assert len(calls) == 1


def test_rows_of_agents_that_see_nothing_pass_the_encoder_once(counted):
    (agent, inputs), _ = both(sizes=[150, 140])
    agent(inputs, [150, 140])
    (seen, *_), plain = counted[0], agent.actions.plain
    nothing = (inputs.observations == 0).flatten(0, 1).all(-1)
    last = inputs.last_actions.flatten()[nothing]
    others = torch.where(torch.isin(last, plain), last, -1).unique()
    assert len(seen.agents.observations) == (~nothing).sum()
    assert len(seen.agents.unseen_last) == len(others)


@pytest.mark.parametrize("block", [1, 12, 512])
def test_without_a_gradient_the_same_numbers(block, monkeypatch):
    monkeypatch.setattr(compiled_recurrent, "BLOCK", block)
    (agent, inputs), _ = both()
    wanted = agent(inputs, [3, 2, 2, 1])
    with torch.no_grad():
        assert torch.equal(agent(inputs, [3, 2, 2, 1]), wanted)
        assert torch.equal(agent(inputs.tensor, [3, 2, 2, 1]), wanted)


@pytest.mark.parametrize("option", OPTIONS)
def test_acting_step_by_step_gives_the_numbers_of_whole_episodes(option, counted):
    sizes = [3, 3, 3]
    (agent, inputs), (exact, exact_inputs) = both(option, sizes)
    wanted, hidden = exact(exact_inputs, sizes), agent.initial_hidden(3, inputs.shape[1])
    with torch.no_grad():
        for t in range(3):
            part = slice(3 * t, 3 * t + 3)
            step = inputs.observations[part], inputs.last_actions[part]
            by_torch = agent.step(inputs.tensor[part], hidden)
            utilities, hidden = agent.step(EpisodeInputs(inputs.layout, *step), hidden)
            assert len(counted) == t + 1
            assert_close(utilities.double(), wanted[part], 1e-6)
            torch.testing.assert_close((utilities, hidden), by_torch)


def test_calls_can_be_interleaved():
    (agent, inputs), _ = both()
    check_interleaved_calls(agent, inputs, [3, 2, 2, 1])


def test_second_derivatives():
    check_second_derivatives(both(), [3, 2, 2, 1])


def test_what_is_not_a_number_is_seen():
    (agent, inputs), _ = both()
    part = OPTIONS["attacks"][0].enemies
    inputs.observations[0, 0, part.start : part.stop] = 0
    inputs.observations[0, 0, part.start] = float("nan")
    found = agent(inputs, [3, 2, 2, 1])
    assert found[0, 0].isnan().all()
    assert found[:, 1:].isfinite().all()


def test_other_precisions_and_exports_take_torchs_form(counted):
    (agent, inputs), (exact, exact_inputs) = both()
    exact(exact_inputs, [3, 2, 2, 1])
    agent(torch.randn(inputs.shape), [3, 2, 2, 1])  # no one-hot last actions
    agent.precision = torch.bfloat16
    agent(inputs, [3, 2, 2, 1])
    settings = {"kind": "entity", "entities": OPTIONS["attacks"][0], "hidden_size": 5}
    network = ActingNetwork(inputs.layout, settings).eval()
    step = inputs.observations[:3], inputs.last_actions[:3], network.initial_hidden(3)
    torch.export.export(network, step)
    assert not counted
