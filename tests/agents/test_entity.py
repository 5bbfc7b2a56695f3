"""What sets promise: units have no order, and those that are not seen do not count."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rllib_qatten.agents import (
    ActingNetwork,
    Entities,
    EntityAgent,
    InputLayout,
    Rows,
    make_agent,
)
from tests.agents.packing import assert_close, batch_sizes

OWN, ROW, PLAIN = 3, 4, 2


def layout_of(mates, enemies, skip=None, helps=False):
    """Own part, teammates, enemies; actions that concern nobody, enemies and, beyond, the team."""
    of_mates = Rows(start=OWN, count=mates, size=ROW, skip=skip)
    of_enemies = Rows(start=of_mates.stop, count=enemies, size=ROW, skip=skip)
    return Entities(
        own=((0, OWN),), teammates=of_mates, enemies=of_enemies,
        attacks=PLAIN, helps=PLAIN + enemies if helps else None,
    )  # fmt: skip


def build(entities, n_agents=2, seed=0, hidden_size=6, kind="entity", **settings):
    torch.manual_seed(seed)
    actions = PLAIN + entities.enemies.count
    actions += n_agents if entities.helps is not None else 0
    inputs = InputLayout(entities.observation_size, actions, n_agents, agent_id=False)
    agent = make_agent(
        inputs.size, actions, n_agents, kind=kind, entities=entities, hidden_size=hidden_size,
        layer_norm=True, **settings,
    )  # fmt: skip
    return agent.double(), inputs


def observed(entities, leading, rng, seen=0.6):
    """Random observations in which some units are not seen."""
    observations = torch.randn(*leading, entities.observation_size, generator=rng).double()
    for part in (entities.teammates, entities.enemies):
        rows = observations[..., part.start : part.stop].unflatten(-1, (part.count, part.size))
        rows *= torch.rand(*leading, part.count, 1, generator=rng) < seen
    return observations


def rows_of(observations, part):
    return observations[..., part.start : part.stop].unflatten(-1, (part.count, part.size))


def last_actions(inputs, leading, rng):
    return torch.randint(-1, inputs.n_actions, (*leading, inputs.n_agents), generator=rng)


sizes = st.integers(1, 9)


@given(st.integers(0, 8), sizes, st.integers(0, 2**31), st.booleans())
def test_permuting_units_permutes_their_values_and_nothing_else(mates, enemies, seed, skips):
    entities = layout_of(mates, enemies, (1, 2) if skips else None)
    agent, inputs = build(entities, seed=seed % 7)
    rng = torch.Generator().manual_seed(seed)
    episodes = batch_sizes([3, 2])
    leading = (sum(episodes), 2)
    seen, last = observed(entities, leading, rng), last_actions(inputs, leading[:1], rng)
    before = agent(inputs(seen, last), episodes)
    shuffled, renamed = seen.clone(), last.clone()
    order = torch.randperm(enemies, generator=rng)
    for part, places in (
        (entities.teammates, torch.randperm(mates, generator=rng)),
        (entities.enemies, order),
    ):
        rows_of(shuffled, part)[:] = rows_of(seen, part)[..., places, :]
    attacked = last >= PLAIN
    renamed[attacked] = PLAIN + order.argsort()[last[attacked] - PLAIN]
    after = agent(inputs(shuffled, renamed), episodes)
    assert_close(after[..., :PLAIN], before[..., :PLAIN], 1e-12)
    assert_close(after[..., PLAIN:], before[..., PLAIN:][..., order], 1e-12)
    hidden = (
        agent.hidden_states(inputs(x, a), episodes) for x, a in ((seen, last), (shuffled, renamed))
    )
    assert_close(*hidden, 1e-12)


@given(sizes, sizes, sizes, sizes, st.integers(0, 2**31))
def test_units_that_are_not_seen_change_nothing(mates, enemies, more_mates, more_enemies, seed):
    """The same weights in a larger battle whose other units are never seen."""
    small, large = layout_of(mates, enemies), layout_of(mates + more_mates, enemies + more_enemies)
    agent, inputs = build(small, seed=seed % 5)
    other, wide = build(large)
    other.load_state_dict(agent.state_dict())
    rng = torch.Generator().manual_seed(seed)
    seen, last = observed(small, (4, 2), rng), last_actions(inputs, (4,), rng)
    padded = torch.zeros(4, 2, large.observation_size).double()
    padded[..., :OWN] = seen[..., :OWN]
    for part, wider in ((small.teammates, large.teammates), (small.enemies, large.enemies)):
        rows_of(padded, wider)[..., : part.count, :] = rows_of(seen, part)
    expected, found = agent(inputs(seen, last), [4]), other(wide(padded, last), [4])
    assert_close(found[..., : PLAIN + enemies], expected, 1e-12)
    # What cannot be seen can be attacked only by name: all such attacks are worth the same.
    unseen = found[..., PLAIN + enemies :]
    assert_close(unseen, unseen[..., :1].expand_as(unseen), 1e-12)


@pytest.mark.parametrize("helps", [False, True])
@pytest.mark.parametrize(("mates", "enemies"), [(0, 1), (1, 50), (49, 1), (50, 50), (0, 0)])
def test_one_unit_and_fifty(mates, enemies, helps):
    entities = layout_of(mates, enemies, helps=helps)
    agent, inputs = build(entities, mates + 1)
    rng = torch.Generator().manual_seed(1)
    seen, last = observed(entities, (3, mates + 1), rng), last_actions(inputs, (3,), rng)
    whole, hidden, steps = (
        agent(inputs(seen, last), [1, 1, 1]),
        agent.initial_hidden(1, mates + 1),
        [],
    )
    for t in range(3):
        utilities, hidden = agent.step(inputs(seen[t : t + 1], last[t : t + 1]), hidden)
        steps.append(utilities)
    assert_close(torch.cat(steps), whole, 1e-12)
    whole.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in agent.parameters())
    nothing = torch.zeros_like(seen)
    assert torch.isfinite(agent(inputs(nothing, last), [1, 1, 1])).all()


def test_an_inputs_gradient_is_that_of_finite_differences():
    agent, inputs = build(layout_of(1, 2))
    rng = torch.Generator().manual_seed(3)
    seen = observed(layout_of(1, 2), (2, 2), rng, seen=1.0).requires_grad_()
    last = last_actions(inputs, (2,), rng)

    def total(x):
        return agent(torch.cat([x, inputs(seen.detach(), last)[..., x.shape[-1] :]], -1), [1, 1])

    assert torch.autograd.gradcheck(total, (seen,))


def test_inputs_that_are_not_what_was_declared_are_refused():
    entities = layout_of(1, 2)
    with pytest.raises(
        ValueError, match="observations of 15 numbers, but with 4 actions the inputs"
    ):
        EntityAgent(17, 4, entities=entities)
    with pytest.raises(ValueError, match="attacks is 2: 2 actions from there on are not among 3"):
        make_agent(18, 3, 2, kind="entity", entities=entities)
    with pytest.raises(ValueError, match="entities: own: Field required"):
        make_agent(18, 3, 2, kind="entity", entities={"teammates": entities.teammates})


@pytest.mark.parametrize("sharing", ["all", "none"])
def test_agents_that_help_are_exported_as_they_act(sharing):
    entities = Entities(
        own=((0, 2),),
        teammates=Rows(start=2, count=2, size=3),
        enemies=Rows(start=8, count=2, size=3),
        attacks=2, helps=2, helper=1,
    )  # fmt: skip
    torch.manual_seed(0)
    settings = {"kind": "entity", "entities": entities, "sharing": sharing, "hidden_size": 8}
    network = ActingNetwork(InputLayout(14, 5, 3, agent_id=False), settings).eval()
    inputs = torch.randn(4, 3, 14), torch.randint(-1, 5, (4, 3)), network.initial_hidden(4)
    games = {0: torch.export.Dim("games", min=1)}
    graph = torch.export.export(network, inputs, dynamic_shapes=(games,) * 3).module()
    one = tuple(x[:1] for x in inputs)
    for batch in (inputs, one):
        for ours, theirs in zip(network(*batch), graph(*batch), strict=True):
            torch.testing.assert_close(ours, theirs)
