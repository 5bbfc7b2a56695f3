"""Every kind of agent network with every sharing of parameters, made from plain settings."""

import copy
import itertools

import pytest
import torch
from torch.nn import functional as F

from rllib_qatten.agents import (
    AGENTS,
    SHARING,
    EntityAgent,
    EpisodeInputs,
    FeedForwardAgent,
    GroupedAgent,
    InputLayout,
    RecurrentAgent,
    make_agent,
    packed_gru_steps,
    sharing_groups,
    unroll,
)
from rllib_qatten.compiled.compiler import kernels
from tests.agents.packing import LENGTHS, assert_close, batch_sizes

#: How the observations of four agents are made: teammates, one number about the agent itself, three
#: enemies, one more number. Actions: 0 to 2 concern nobody, 3 to 5 an enemy; where the first number
#: is above 0, 3 to 6 concern one of the team instead.
ENTITIES = {
    "own": [(6, 7), (13, 14)],
    "teammates": {"start": 0, "count": 3, "size": 2},
    "enemies": {"start": 7, "count": 3, "size": 2},
    "attacks": 3,
    "helps": 3,
    "helper": 6,
}
N, INPUT, ACTIONS, HIDDEN = 4, 14 + 7, 7, 5
#: Groups that do not stand together, by numbers that are no indices, and in no order that is its
#: own inverse.
TYPES = (7, 9, 7, 2)
GROUPS = {"all": [0, 0, 0, 0], "unit_type": [1, 2, 1, 0], "none": [0, 1, 2, 3]}

every_kind = pytest.mark.parametrize("kind", AGENTS)
every_sharing = pytest.mark.parametrize("sharing", SHARING)
with_and_without_norm = pytest.mark.parametrize("layer_norm", [False, True])


def make(kind="recurrent", sharing="all", seed=0, **settings):
    torch.manual_seed(seed)
    settings = {"unit_types": TYPES, "hidden_size": HIDDEN, "entities": ENTITIES, **settings}
    agent = make_agent(INPUT, ACTIONS, N, kind=kind, sharing=sharing, **settings).double()
    for name, parameter in agent.named_parameters():
        if "norm" in name:  # ones and zeros would hide much
            torch.nn.init.normal_(parameter)
    return agent


def inputs_of(lengths, n_agents=N):
    torch.manual_seed(1)
    inputs = torch.randn(sum(lengths), n_agents, INPUT, dtype=torch.float64)
    for row in (0, 2, 4, 7, 9, 11):  # some units are not seen
        inputs[..., row : row + 2] *= torch.rand(sum(lengths), n_agents, 1) < 0.6
    return inputs


def names(function):
    """Names of all steps of a graph."""
    if function is None:
        return set()
    return {function.name()}.union(*(names(before) for before, _ in function.next_functions))


def networks_of(agent):
    return agent.networks if isinstance(agent, GroupedAgent) else [agent]


def by_steps(agent, inputs, sizes):
    """Utilities and hidden states, one call of `step` per time step."""
    hidden = agent.initial_hidden(sizes[0], N)
    out = []
    for step in inputs.split(sizes):
        utilities, hidden = agent.step(step, hidden[: len(step)])
        out.append((utilities, hidden))
    return [torch.cat(parts) for parts in zip(*out, strict=True)]


def of_units(network, inputs, sizes, i):
    """Like `textbook` for an entity agent with the index i in its team, unit by unit."""

    def unit(layer, row, chosen):
        x = torch.cat([row, chosen[None]])
        return (layer.weight @ x + layer.bias).clamp(min=0) * bool(row.any())

    team = [k for k in range(N) if k != i]
    encoded, units = [], []
    for x in inputs:
        last, helps = x[14:], bool(x[6] > 0)
        of_team = {
            k: unit(network.teammates, x[2 * r : 2 * r + 2], last[3 + k] * helps)
            for r, k in enumerate(team)
        }
        of_enemies = [
            unit(network.enemies, x[7 + 2 * j : 9 + 2 * j], last[3 + j] * (not helps))
            for j in range(3)
        ]
        units.append((helps, of_team, of_enemies))
        own = torch.stack([x[6], x[13], *last[:3]])
        z = torch.cat([own, sum(of_team.values()), sum(of_enemies)])
        z = network.encoder.weight @ z + network.encoder.bias
        encoded.append(network.encoder_norm(z).clamp(min=0))
    hidden = packed_gru_steps(torch.stack(encoded), sizes, tuple(network.gru.parameters()))
    utilities = []
    for h, (helps, of_team, of_enemies) in zip(hidden, units, strict=True):
        heads = network.head.weight @ h + network.head.bias
        ask_enemy, ask_team, (*plain, attack, help_) = heads.split([HIDDEN, HIDDEN, 5])
        if helps:
            values = [ask_team @ of_team[k] + help_ if k != i else help_ for k in range(N)]
        else:
            q = ask_enemy
            values = [*(q @ u + attack for u in of_enemies), attack]
        utilities.append(torch.stack([*plain, *values]))
    return torch.stack(utilities)


def textbook(network, inputs, sizes, i):
    """Utilities [P, A] of agent i's inputs [P, I], by torch's functions and nothing of ours."""
    if isinstance(network, EntityAgent):
        return of_units(network, inputs, sizes, i)

    def hidden_layer(layer, norm, x):
        x = F.linear(x, layer.weight, layer.bias)
        if isinstance(norm, torch.nn.LayerNorm):
            centerd = x - x.mean(-1, keepdim=True)
            scale = (centerd.square().mean(-1, keepdim=True) + 1e-5).rsqrt()
            x = centerd * scale * norm.weight + norm.bias
        return x.clamp(min=0)

    x = hidden_layer(network.encoder, network.encoder_norm, inputs)
    if isinstance(network, RecurrentAgent):
        x = packed_gru_steps(x, sizes, tuple(network.gru.parameters()))
    else:
        x = hidden_layer(network.second, network.second_norm, x)
    return F.linear(x, network.head.weight, network.head.bias)


@with_and_without_norm
@every_sharing
@every_kind
@pytest.mark.parametrize("lengths", [LENGTHS["ragged"], LENGTHS["one entry"]], ids=str)
def test_whole_episodes_equal_single_steps(lengths, kind, sharing, layer_norm):
    agent, sizes = make(kind, sharing, layer_norm=layer_norm), batch_sizes(lengths)
    inputs = inputs_of(lengths).requires_grad_()
    utilities, hidden = by_steps(agent, inputs, sizes)
    assert utilities.shape == (sum(lengths), N, ACTIONS)
    assert_close(agent(inputs, torch.tensor(sizes)), utilities, 1e-12)
    assert_close(agent.hidden_states(inputs, sizes), hidden, 1e-12)
    assert_close(agent.utilities(hidden, inputs), utilities, 1e-12)
    variables, weight = [inputs, *agent.parameters()], torch.randn_like(utilities)
    for a, b in zip(
        torch.autograd.grad(agent(inputs, sizes), variables, weight),
        torch.autograd.grad(utilities, variables, weight),
        strict=True,
    ):
        assert_close(a, b, 1e-10)


@every_sharing
@every_kind
def test_bfloat16_is_near_and_utilities_stay_float32(kind, sharing):
    agent, sizes = make(kind, sharing).float(), batch_sizes(LENGTHS["ragged"])
    inputs, found = inputs_of(LENGTHS["ragged"]).float(), []
    for agent.precision in (torch.float32, torch.bfloat16):
        utilities = agent(inputs, sizes)
        assert utilities.dtype == torch.float32
        gradients = torch.autograd.grad(utilities.square().sum(), list(agent.parameters()))
        found.append([utilities, torch.cat([gradient.flatten() for gradient in gradients])])
    for exact, rounded in zip(*found, strict=True):
        # bfloat16 keeps 8 bits, so that each of its products is off by 0.004 at most.
        assert 0 < (rounded - exact).norm() / exact.norm() < 0.02


@with_and_without_norm
@every_sharing
@every_kind
def test_each_agent_equals_the_textbook_with_its_own_network(kind, sharing, layer_norm):
    agent, sizes = make(kind, sharing, layer_norm=layer_norm), batch_sizes(LENGTHS["ragged"])
    inputs, networks = inputs_of(LENGTHS["ragged"]), networks_of(agent)
    assert len(networks) == max(GROUPS[sharing]) + 1
    utilities = agent(inputs, sizes)
    for i, group in enumerate(GROUPS[sharing]):
        expected = textbook(networks[group], inputs[:, i], sizes, i)
        assert_close(utilities[:, i], expected, 1e-12)


@every_kind
def test_one_group_equals_the_shared_network(kind):
    shared, sizes = make(kind), batch_sizes([4, 2])
    inputs = inputs_of([4, 2])
    grouped = GroupedAgent([copy.deepcopy(shared)], [0] * N)
    one, other = by_steps(shared, inputs, sizes), by_steps(grouped, inputs, sizes)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert torch.equal(shared(inputs, sizes), grouped(inputs, sizes))
    for agent in (shared, grouped):
        agent(inputs, sizes).square().sum().backward()
    for a, b in zip(shared.parameters(), grouped.parameters(), strict=True):
        assert_close(a.grad, b.grad, 1e-12)


@pytest.mark.parametrize("sharing", ["unit_type", "none"])
@every_kind
def test_a_loss_reaches_only_the_networks_of_its_agents(kind, sharing):
    agent, inputs = make(kind, sharing), inputs_of([4, 2])
    for i, mine in enumerate(GROUPS[sharing]):
        agent.zero_grad()
        utilities = agent(inputs, batch_sizes([4, 2]))
        utilities[:, i].square().sum().backward()
        for group, network in enumerate(agent.networks):
            norms = [p.grad.norm() for p in network.parameters()]
            assert all((norm > 0) == (group == mine) for norm in norms)


@every_kind
def test_acting_takes_any_leading_axes(kind):
    inputs = torch.randn(2, 3, N, INPUT, dtype=torch.float64)
    for sharing in SHARING:
        agent = make(kind, sharing)
        hidden = torch.randn(2, 3, N, HIDDEN, dtype=torch.float64)
        utilities, after = agent.step(inputs, hidden)
        assert utilities.shape == (2, 3, N, ACTIONS)
        for g in itertools.product(range(2), range(3)):
            one, after_one = agent.step(inputs[g], hidden[g])
            assert_close(utilities[g], one, 1e-12)
            assert_close(after[g], after_one, 1e-12)


@pytest.mark.skipif(kernels("recurrent") is None, reason="numba is not installed")
@every_sharing
@every_kind
def test_an_agent_knows_whether_it_is_compiled(kind, sharing):
    agent, layout = make(kind, sharing), InputLayout(14, ACTIONS, N, agent_id=False)
    assert not agent.compiled  # in float64
    last_actions = torch.full((3, N), -1)
    inputs = EpisodeInputs(layout, torch.randn(3, N, 14), last_actions)
    assert inputs.shape[-1] == INPUT
    found = names(agent.float()(inputs, [2, 1]).grad_fn)
    one = not isinstance(agent, GroupedAgent)
    assert agent.compiled == (one and "_UnrollBackward" in found)
    if agent.compiled:
        agent.precision = torch.bfloat16
        assert not agent.compiled


def test_the_feed_forward_agent_remembers_nothing():
    for agent in (make("feed_forward"), make("feed_forward", "none")):
        inputs = torch.randn(2, N, INPUT, dtype=torch.float64)
        utilities, hidden = agent.step(inputs, agent.initial_hidden(2, N))
        assert torch.equal(agent.step(inputs, hidden)[0], utilities)
        assert hidden.shape == (2, N, HIDDEN)


@every_sharing
def test_unroll_gives_live_and_target(sharing):
    live, inputs, sizes = make(sharing=sharing), inputs_of([4, 2]), batch_sizes([4, 2])
    target = make(sharing=sharing, seed=2).requires_grad_(False)
    utilities, target_utilities = unroll(live, target, inputs, sizes)
    assert torch.equal(utilities, live(inputs, sizes))
    assert torch.equal(target_utilities, target(inputs, sizes))
    assert utilities.requires_grad
    assert not target_utilities.requires_grad


def test_defaults_are_the_shared_recurrent_agent_draw_for_draw():
    torch.manual_seed(3)
    made = make_agent(INPUT, ACTIONS, N)
    torch.manual_seed(3)
    plain = RecurrentAgent(INPUT, ACTIONS)
    assert type(made) is RecurrentAgent
    assert made.state_dict().keys() == plain.state_dict().keys() == {
        f"{layer}.{part}"
        for layer, parts in {
            "encoder": ("weight", "bias"),
            "gru": ("weight_ih", "weight_hh", "bias_ih", "bias_hh"),
            "head": ("weight", "bias"),
        }.items()
        for part in parts
    }  # fmt: skip
    for a, b in zip(made.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)


def test_networks_start_unlike_and_only_they_are_saved():
    agent = make("feed_forward", "none")
    first, second, *_ = agent.networks
    assert type(first) is FeedForwardAgent
    assert not torch.equal(first.encoder.weight, second.encoder.weight)
    names = {name.split(".")[0] for name in agent.state_dict()}
    assert names == {"networks"}


def test_agents_of_one_type_share_one_network():
    assert type(make(sharing="unit_type", unit_types=(3, 3, 3, 3))) is RecurrentAgent
    torch.manual_seed(0)
    assert type(make_agent(INPUT, ACTIONS, 1, sharing="none")) is RecurrentAgent


@every_sharing
def test_groups(sharing):
    assert sharing_groups(sharing, N, TYPES) == GROUPS[sharing]


@every_sharing
@every_kind
def test_orthogonal_init(kind, sharing):
    agent = make(kind, sharing, orthogonal_init=True)
    for network in networks_of(agent):
        for name, parameter in network.named_parameters():
            if "bias" in name:
                assert not parameter.any()
                continue
            for weight in parameter.chunk(3) if "gru" in name else [parameter]:
                short = weight if weight.shape[0] <= weight.shape[1] else weight.mT
                gain = 1.0 if "head" in name or "gru" in name else 2.0  # the rest is before a ReLU
                expected = gain * torch.eye(len(short), dtype=torch.float64)
                torch.testing.assert_close(short @ short.mT, expected, atol=1e-6, rtol=0)
    plain = next(networks_of(make(kind, sharing))[0].parameters())
    short = plain if plain.shape[0] <= plain.shape[1] else plain.mT
    assert not torch.allclose(short @ short.mT, 2 * torch.eye(len(short)).double(), atol=0.1)


@pytest.mark.parametrize(("kind", "count"), [("recurrent", 1), ("feed_forward", 2), ("entity", 1)])
def test_layer_norm_is_there_only_if_asked_for(kind, count):
    for asked in (False, True):
        agent = make(kind, layer_norm=asked)
        norms = [m for m in agent.modules() if isinstance(m, torch.nn.LayerNorm)]
        assert len(norms) == count * asked
        assert any("norm" in name for name in agent.state_dict()) == asked


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "recurent"}, r"Unknown agent: 'recurent'.*'recurrent'"),
        ({"sharing": "unit"}, r"Unknown parameter_sharing: 'unit'.*all, none, unit_type"),
        ({"sharing": None}, r"parameter_sharing: None. Did you mean 'none'"),
        ({"sharing": "unit_type", "unit_types": None}, "needs the unit type of each agent"),
    ],
)
def test_refuses(settings, says):
    with pytest.raises(ValueError, match=says):
        make(**settings)


@pytest.mark.parametrize("groups", [[0, 0, 0, 0], [0, 1, 2, 0], [1, 1, 1, 1], []])
def test_refuses_groups_that_do_not_fit_the_networks(groups):
    with pytest.raises(ValueError, match="each of the 2 networks"):
        GroupedAgent([RecurrentAgent(INPUT, ACTIONS) for _ in range(2)], groups)


@pytest.mark.parametrize(
    ("shape", "sizes", "message"),
    [
        ((6, 3, 21), [3, 3], r"an axis of N=4 agents.*got \[6, 3, 21\]"),
        ((6, 4, 21), [2, 3, 1], "never increase"),
        ((6, 4, 21), [3, 2], r"inputs must be \[P=5, N, I=21\].*got \[6, 4, 21\]"),
        ((6, 4, 7), [3, 3], r"inputs must be \[P=6, N, I=21\].*got \[6, 4, 7\]"),
    ],
)
def test_wrong_shapes_are_explained(shape, sizes, message):
    with pytest.raises(ValueError, match=message):
        make(sharing="none")(torch.zeros(shape, dtype=torch.float64), sizes)


def test_flat_rows_do_not_tell_agents_apart():
    with pytest.raises(ValueError, match=r"an axis of N=4 agents.*got \[6, 21\]"):
        make(sharing="none").step(torch.zeros(6, INPUT), torch.zeros(6, HIDDEN))
