"""QTRAN's critics: what they see, what they do not, and what they refuse."""

import pytest
import torch
from torch.testing import assert_close

from rllib_qatten.mixers import QTRANAltCritic, QTRANCritic
from tests.mixers import textbook
from tests.mixers.batches import A, N, S

H = 4
SHAPES = [(), (0,), (1,), (5,), (2, 3), (2, 0)]
PAPER = {"qtran_arch": "qtran_paper"}
OPTIONS = [PAPER, PAPER | {"network_size": "big"}, {"qtran_arch": "coma_critic"}]
each_critic = pytest.mark.parametrize("options", OPTIONS, ids=str)


def critic(kind=QTRANCritic, n=N, dtype=torch.float64, **options):
    torch.manual_seed(0)
    return kind(n, S, A, H, **options).to(dtype)


def inputs(shape=(5,), n=N, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    state = torch.randn(*shape, S, generator=g, dtype=dtype)
    hidden = torch.randn(*shape, n, H, generator=g, dtype=dtype)
    return state, hidden, torch.randint(A, (*shape, n), generator=g)


def flat(shape, tensors):
    return [x.flatten(0, len(shape) - 1) if shape else x[None] for x in tensors]


@each_critic
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_leading_axes(options, shape):
    net, tensors = critic(**options), inputs(shape)
    rows = flat(shape, tensors)
    joint, value = net.joint_value(*tensors), net.state_value(tensors[0])
    assert joint.shape == value.shape == shape
    assert_close(joint.flatten(), net.joint_value(*rows).flatten())
    assert_close(value.flatten(), net.state_value(rows[0]).flatten())


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_leading_axes_of_the_counterfactual_critic(shape, n):
    net, tensors = critic(QTRANAltCritic, n), inputs(shape, n)
    joint, value = net.joint_values(*tensors), net.state_value(*tensors[:2])
    assert joint.shape == (*shape, n, A)
    assert value.shape == shape
    rows = flat(shape, tensors)
    assert_close(joint.flatten(), net.joint_values(*rows).flatten())
    assert_close(value.flatten(), net.state_value(*rows[:2]).flatten())


def test_counterfactual_values_and_gradients_are_the_textbooks():
    net, (state, hidden, actions) = critic(QTRANAltCritic), inputs()
    hidden.requires_grad_()
    scores = (
        net.joint_values(state, hidden, actions),
        textbook.qtran_alt(net, state, hidden, actions),
    )
    assert_close(*scores)
    sources = [hidden, *net.joint_net.parameters(), *net.action_encoder.parameters()]
    assert_close(*(torch.autograd.grad(x.square().sum(), sources) for x in scores))


def test_a_counterfactual_sees_the_others_actions_and_not_its_own():
    net, (state, hidden, actions) = critic(QTRANAltCritic), inputs()
    before = net.joint_values(state, hidden, actions)
    after = net.joint_values(state, hidden, (actions + torch.tensor([1, 0, 0])) % A)
    assert_close(after[:, 0], before[:, 0])
    assert not torch.isclose(after[:, 1:], before[:, 1:]).all(-1).any()


def test_counterfactuals_tell_agents_apart_by_their_id_alone():
    net, (state, hidden, actions) = critic(QTRANAltCritic), inputs()
    before, order = net.joint_values(state, hidden, actions), torch.tensor([2, 0, 1])
    with torch.no_grad():
        of_id = net.joint_net[0].weight[:, S : S + N]
        of_id.copy_(of_id[:, order].clone())
    after = net.joint_values(state, hidden[:, order], actions[:, order])
    assert_close(after, before[:, order])


@each_critic
def test_every_agents_action_counts(options):
    net, (state, hidden, actions) = critic(**options), inputs()
    before = net.joint_value(state, hidden, actions)
    for i in range(N):
        other = actions.clone()
        other[:, i] = (other[:, i] + 1) % A
        assert not torch.isclose(net.joint_value(state, hidden, other), before).any()


def test_the_papers_form_reads_hidden_states_and_no_order_of_agents():
    net, (state, hidden, actions) = critic(**PAPER), inputs()
    value, order = net.joint_value(state, hidden.requires_grad_(), actions), [2, 0, 1]
    assert_close(net.joint_value(state, hidden[:, order], actions[:, order]), value)
    (slope,) = torch.autograd.grad(value.sum(), hidden)
    assert (slope != 0).any(-1).all()  # the critic's loss trains the agents' network


def test_comas_form_reads_the_order_of_agents_and_no_hidden_states():
    net, (state, hidden, actions) = critic(qtran_arch="coma_critic"), inputs()
    value = net.joint_value(state, hidden, actions)
    assert_close(net.joint_value(state, torch.zeros(1), actions), value)
    assert not torch.isclose(net.joint_value(state, hidden, actions[:, [2, 0, 1]]), value).all()


@each_critic
def test_every_parameter_learns(options):
    net, (state, hidden, actions) = critic(**options), inputs()
    (net.joint_value(state, hidden, actions) + net.state_value(state)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_bfloat16_autocast():
    tensors = inputs(dtype=torch.float32)
    for kind, name in ((QTRANCritic, "joint_value"), (QTRANAltCritic, "joint_values")):
        value = getattr(critic(kind, dtype=torch.float32), name)
        with torch.autocast("cpu", torch.bfloat16):
            rough = value(*tensors)
        assert_close(rough.float(), value(*tensors), atol=0.1, rtol=0.05)


WRONG = [
    (0, (5, 9), "expected state [*B, S] = [5, 5], got [5, 9]: give it the leading axes of state"),
    (1, (5, 3, 9), "expected hidden [*B, N, h] = [5, 3, 4], got [5, 3, 9]"),
    (1, (15, 4), "expected hidden [*B, N, h] = [5, 3, 4], got [15, 4]"),
    (2, (5, 2), "expected actions [*B, N] = [5, 3], got [5, 2]"),
    (2, None, "expected actions of torch.int64, got torch.float64: convert it, for instance act"),
]


@pytest.mark.parametrize("kind", [QTRANCritic, QTRANAltCritic])
@pytest.mark.parametrize(("which", "shape", "message"), WRONG)
def test_wrong_inputs_are_refused_in_words(kind, which, shape, message):
    net, tensors = critic(kind), list(inputs())
    tensors[which] = tensors[which].double() if shape is None else torch.zeros(shape)
    value = net.joint_value if kind is QTRANCritic else net.joint_values
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is checked below
        value(*tensors)
    assert f"{kind.__name__} {message}" in str(caught.value)
    if shape is not None:
        assert "n_agents=3, state_dim=5, n_actions=3, hidden_size=4" in str(caught.value)


@pytest.mark.parametrize("kind", [QTRANCritic, QTRANAltCritic])
@pytest.mark.parametrize("place", range(4))
def test_bad_sizes_are_refused_in_words(kind, place):
    sizes = [N, S, A, H]
    sizes[place] = 0
    name = ("n_agents", "state_dim", "n_actions", "hidden_size")[place]
    with pytest.raises(ValueError, match=f"{name} must be an integer >= 1, got 0"):
        kind(*sizes)
    with pytest.raises(ValueError, match="mixing_embed_dim must be an integer >= 1, got 0"):
        kind(N, S, A, H, mixing_embed_dim=0)


@pytest.mark.parametrize("option", ["qtran_arch", "network_size"])
def test_unknown_layouts_are_refused_in_words(option):
    with pytest.raises(ValueError, match=rf"{option} must be one of \(.*\), got 'medium'"):
        critic(**{option: "medium"})
