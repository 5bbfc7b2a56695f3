"""What the theory promises, checked on random mixers and states."""

import copy
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from rllib_qatten.mixers import CentralMixer, QattenMixer, attention_entropy
from tests import golden
from tests.conftest import GOLDEN
from tests.mixers.batches import VARIANTS, A, S, U, batch, build

seeds = st.integers(0, 2**31)
teams = st.integers(1, 4)
scales = st.sampled_from([0.0, 1e-3, 1.0, 30.0])
linear = pytest.mark.parametrize("weighted", [False, True])


def joint_values(mixer, table, legal, state, unit_features, alive):
    """Greedy joint action's Q_tot and the best of all legal joint actions', one state.

    `table` and `legal` are [N, A].
    """
    own_best, own_greedy = table.masked_fill(~legal, -math.inf).max(1)
    joint = torch.tensor(list(itertools.product(*(own.nonzero()[:, 0] for own in legal))))
    q_tot = mixer(
        table[torch.arange(len(table)), joint],
        state.expand(len(joint), -1),
        unit_features=unit_features.expand(len(joint), -1, -1),
        alive=alive.expand(len(joint), -1),
        actions=joint,
        best_utilities=own_best.expand(len(joint), -1),
    ).q_tot
    greedy = (joint == own_greedy).all(1).nonzero().item()
    return q_tot[greedy].item(), q_tot.max().item()


def one_row(n, seed):
    inputs = batch((), n, seed)
    return [inputs[k] for k in ("state", "unit_features", "alive")]


def q_in_key_loses():
    """Attention flees the agent with the larger utility: choosing 0.5 beats choosing 2."""
    options = dict(n_heads=1, mixing_embed_dim=1, hypernet_layers=1, state_bias=False)
    mixer = QattenMixer(2, 1, 1, q_in_key=True, **options).double()
    query, key = [[[1.0]]], [[[0.0, -1.0]]]
    mixer.load_state_dict({"query.weight": torch.tensor(query), "key.weight": torch.tensor(key)})
    table = torch.tensor([[2.0, 0.5], [0.0, -9.0]]).double()
    state, units = torch.tensor([1.5]).double(), torch.zeros(2, 1).double()
    return mixer, table, table < 99, state, units, torch.ones(2, dtype=torch.bool)


def central_loses():
    """An unrestricted value may as well fall with the utilities: 20 - Q_1 - Q_2."""
    mixer = CentralMixer(2, 1, mixing_embed_dim=1).double()
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.zero_()
        mixer.net[0].weight.copy_(torch.tensor([[0.0, -1.0, -1.0]]))
        mixer.net[0].bias.fill_(20.0)
        for layer in mixer.net[2::2]:
            layer.weight.fill_(1.0)
    table = torch.tensor([[2.0, 0.5], [0.0, -9.0]]).double()
    context = torch.zeros(1).double(), torch.zeros(2, 1).double()
    return mixer, table, table < 99, *context, torch.ones(2, dtype=torch.bool)


# A mixer without IGM, and the option that takes it away, if it is one.
COUNTEREXAMPLES = {("qatten", "q_in_key"): q_in_key_loses, ("central", None): central_loses}


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_igm_or_a_counterexample(name, options):
    if build(name, options).claims_igm:
        every_game_keeps_igm(name, options)
    else:
        broken = next((o for o in options if (name, o) in COUNTEREXAMPLES), None)
        mixer, *game = COUNTEREXAMPLES[name, broken]()
        assert not mixer.claims_igm
        greedy, best = joint_values(mixer, *game)
        assert greedy < best - 1e-3


def every_game_keeps_igm(name, options):
    @given(seed=seeds, n=teams, scale=scales)
    def check(seed, n, scale):
        g = torch.Generator().manual_seed(seed)
        table = scale * torch.randn(n, A, generator=g).double()
        legal = torch.rand(n, A, generator=g) < 0.7
        legal[:, 0] |= ~legal.any(1)
        greedy, best = joint_values(build(name, options, n, seed), table, legal, *one_row(n, seed))
        assert greedy >= best - 1e-9 * max(1.0, abs(best))

    check()


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
@given(seed=seeds, n=teams, scale=scales)
def test_monotonic_where_igm_is_claimed_and_finite_everywhere(name, options, seed, n, scale):
    mixer, inputs = build(name, options, n, seed), batch((4,), n, seed, scale=scale)
    mixed = mixer(**inputs)
    (mixed.q_tot.sum() + mixed.regularizer).backward()
    slope = inputs["utilities"].grad
    assert (slope >= 0).all() or not mixer.claims_igm
    found = [slope, mixed.q_tot, *(p.grad for p in mixer.parameters() if p.grad is not None)]
    assert all(x.isfinite().all() for x in found)


@pytest.mark.parametrize("options", [o for name, o in VARIANTS if name == "qatten"], ids=str)
@given(seed=seeds, n=teams, scale=scales)
def test_attention_is_a_distribution(options, seed, n, scale):
    mixed = build("qatten", options, n, seed)(**batch((4,), n, seed, scale=scale))
    assert (mixed.attention >= 0).all()
    assert_close(mixed.attention.sum(-1), torch.ones_like(mixed.head_values))
    entropy = attention_entropy(mixed.attention)
    assert (entropy >= -1e-7 * n).all()
    assert (entropy <= math.log(n) + 1e-7 * n).all()


@linear
@given(seed=seeds, n=teams)
def test_linear_qatten_is_bounded_and_affine(weighted, seed, n):
    mixer = build("qatten", {"weighted_heads": weighted}, n, seed)
    x, y = batch((4,), n, seed), batch((4,), n, seed + 1)
    mixed = mixer(**x)
    total = mixed.head_weights.sum(-1) if weighted else float(mixer.n_heads)
    low, high = x["utilities"].aminmax(dim=-1)
    assert (mixed.q_tot >= mixed.state_value + total * low - 1e-9).all()
    assert (mixed.q_tot <= mixed.state_value + total * high + 1e-9).all()

    def q_tot(utilities):
        return mixer(**x | {"utilities": utilities}).q_tot

    middle = 0.3 * x["utilities"] + 0.7 * y["utilities"]
    assert_close(q_tot(middle), 0.3 * q_tot(x["utilities"]) + 0.7 * q_tot(y["utilities"]))


@pytest.mark.parametrize(
    ("name", "options"),
    [("vdn", {}), ("qlinear", {}), ("qatten", {}), ("qatten", {"weighted_heads": True})],
    ids=str,
)
def test_linear_mixers_fit_additive_payoffs_and_no_others(name, options):
    """Best tables for a one-state game, by least squares: row mean + column mean - grand mean."""
    for game in golden.load(GOLDEN)["analytic_checks"][0]["games"]:
        payoff, fit = golden.tensor(game["payoff"]), golden.tensor(game["fit"])
        k = len(payoff)
        mixer = build(name, options, n=2)
        state, units, _ = one_row(2, seed=3)

        def q_tot(table, k=k, mixer=mixer, state=state, units=units):
            rows = torch.cartesian_prod(table[:k], table[k:])
            context = state.expand(k * k, -1), units.expand(k * k, -1, -1)
            return mixer(rows, context[0], unit_features=context[1]).q_tot

        zero = torch.zeros(2 * k).double()
        slope = torch.autograd.functional.jacobian(q_tot, zero)
        target = payoff.flatten() - q_tot(zero).detach()
        table = torch.linalg.lstsq(slope, target, driver="gelsd").solution
        assert_close(q_tot(table).detach().view(k, k), fit, atol=1e-9, rtol=1e-9)


def permuted(inputs, order):
    return {k: x if k in ("state", "mask") else x[:, order] for k, x in inputs.items()}


@pytest.mark.parametrize(
    ("name", "options"), [v for v in VARIANTS if v[0] in ("vdn", "qlinear", "qatten")], ids=str
)
@given(seed=seeds, order=st.permutations(range(3)))
def test_agents_may_change_places_when_the_state_stays(name, options, seed, order):
    mixer, inputs = build(name, options, seed=seed), batch((4,), seed=seed)
    before, after = mixer(**inputs), mixer(**permuted(inputs, order))
    assert_close(after.q_tot, before.q_tot)
    if name == "qatten":
        assert_close(after.head_values, before.head_values)
        assert_close(after.attention, before.attention[..., order])


def reordered(mixer, order):
    """A copy of a QPLEX or Central whose weights know the agents in another order."""
    mixer, order = copy.deepcopy(mixer), torch.tensor(order)
    with torch.no_grad():
        if isinstance(mixer, CentralMixer):
            of_agents = mixer.net[0].weight[:, S:]
            of_agents.copy_(of_agents[:, order].clone())
            return mixer
        of_actions = mixer.lambda_action.first.weight[..., S:].unflatten(-1, (-1, A))
        of_actions.copy_(of_actions[..., order, :].clone())
        # Attention follows the agents' own features.
        for net in () if mixer.attention else (mixer.hyper_w, mixer.hyper_v):
            net.last.weight.copy_(net.last.weight[order].clone())
            net.last.bias.copy_(net.last.bias[order].clone())
        for net in (mixer.lambda_agent, mixer.lambda_action):
            last = [net.first, *net.rest][-1]
            last.weight.copy_(last.weight[:, order].clone())
            last.bias.copy_(last.bias[:, order].clone())
    return mixer


@pytest.mark.parametrize(
    ("name", "options"), [v for v in VARIANTS if v[0] in ("qplex", "central")], ids=str
)
@given(seed=seeds, order=st.permutations(range(3)))
def test_agents_are_told_apart_by_weights_alone(name, options, seed, order):
    mixer, inputs = build(name, options, seed=seed), batch((4,), seed=seed)
    after = reordered(mixer, order)(**permuted(inputs, order))
    assert_close(after.q_tot, mixer(**inputs).q_tot)


def test_key_bias_changes_nothing_but_the_regularizer_and_query_bias_does():
    mixer, inputs = build("qatten", {"attention_bias": True}), batch((4,))
    before = mixer(**inputs)
    with torch.no_grad():
        mixer.key.bias.add_(torch.randn_like(mixer.key.bias))
    after = mixer(**inputs)
    assert_close(after.q_tot, before.q_tot)
    assert not torch.isclose(after.regularizer, before.regularizer)
    with torch.no_grad():
        mixer.query.bias.add_(torch.randn_like(mixer.query.bias))
    assert not torch.isclose(mixer(**inputs).q_tot, before.q_tot).any()


def test_dead_agents_get_nothing_and_a_dead_team_shares_evenly():
    mixer, inputs = build("qatten", {"mask_dead": True}), batch((6,), scale=100.0)
    inputs["alive"][0] = False
    inputs["alive"][1] = torch.tensor([True, False, True])
    attention = mixer(**inputs).attention
    assert_close(attention[0], torch.full_like(attention[0], 1 / 3))
    assert (attention[1, :, 1] == 0).all()
    unmasked = build("qatten", {})(**inputs)  # same seed, same weights
    assert_close(unmasked.regularizer, mixer(**inputs).regularizer)


def test_a_dead_agent_without_features_has_logit_zero():
    inputs = batch((4,))
    inputs["unit_features"][:, 1] = 0
    assert (build("qatten", {})(**inputs).logits[..., 1] == 0).all()


def test_one_agent_gets_all_attention():
    mixer, inputs = build("qatten", {}, n=1), batch((4,), n=1)
    mixed = mixer(**inputs)
    assert_close(mixed.q_tot, mixer.n_heads * inputs["utilities"][:, 0] + mixed.state_value)


def test_masked_rows_leave_no_trace_in_the_gradient():
    mixer, inputs = build("qatten", {"weighted_heads": True}), batch((8,))
    inputs["mask"] = mask = torch.tensor([True, False] * 4)

    def gradients(inputs):
        mixed = mixer(**inputs)
        loss = (mixed.q_tot.square() * mask).sum() + mixed.regularizer
        return torch.autograd.grad(loss, [inputs["utilities"], *mixer.parameters()])

    first = gradients(inputs)
    assert (first[0][~mask] == 0).all()
    for name, size in (("utilities", 3), ("state", S)):
        junk = torch.where(mask[:, None], inputs[name], 1e3 * torch.randn(8, size).double())
        inputs[name] = junk.detach().requires_grad_(name == "utilities")
    junk = 1e3 * torch.randn(8, 3, U).double()
    inputs["unit_features"] = torch.where(mask[:, None, None], inputs["unit_features"], junk)
    for before, after in zip(first, gradients(inputs), strict=True):
        assert torch.equal(before, after)


def test_regularizer_over_padding_ignores_the_mask():
    inputs = batch((8,))
    inputs["mask"] = torch.arange(8) < 5
    kept = {k: v[:5] for k, v in inputs.items()}
    strict, loose = (build("qatten", {"reg_over_padding": o}) for o in (False, True))
    assert_close(strict(**inputs).regularizer, strict(**kept).regularizer)
    assert_close(loose(**inputs).regularizer, strict(**inputs | {"mask": None}).regularizer)
    inputs["mask"] = torch.zeros(8, dtype=torch.bool)
    nothing = strict(**inputs)
    assert nothing.regularizer == 0
    nothing.regularizer.backward()
    assert (inputs["utilities"].grad is None) or (inputs["utilities"].grad == 0).all()


def test_entropy_is_a_mean_over_unmasked_rows():
    attention = torch.tensor([[[0.5, 0.5], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]])
    expected = torch.tensor([math.log(2), 0.0])
    mask = torch.tensor([True, False])
    assert_close(attention_entropy(attention, mask), expected, atol=1e-6, rtol=0)
    assert_close(attention_entropy(attention), expected / 2, atol=1e-6, rtol=0)
    assert (attention_entropy(attention, mask & False) == 0).all()
    assert_close(attention_entropy(attention[0]), expected, atol=1e-6, rtol=0)
