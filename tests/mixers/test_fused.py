"""The fast form against the textbook, values and gradients, in float64."""

import pytest
import torch
from torch.testing import assert_close

from tests.mixers import textbook
from tests.mixers.batches import ALL_QATTENS, QPLEXES, batch, build


def gradients(mixer, scalar, utilities):
    return torch.autograd.grad(scalar, [utilities, *mixer.parameters()], allow_unused=True)


def name_of(options):
    return "-".join(k for k, v in options.items() if v is True) + f"-{options['hypernet_layers']}"


@pytest.mark.parametrize("options", ALL_QATTENS, ids=name_of)
def test_qatten(options):
    over_padding = options["weighted_heads"]  # any flag will do: both ways get their share
    mixer = build("qatten", options | {"n_heads": 2, "reg_over_padding": over_padding})
    inputs = batch((6,))
    inputs["alive"][0] = False
    fast = mixer(**inputs)
    used = ("utilities", "state", "unit_features", "alive", "mask")
    q_tot, attention, logits, regularizer = textbook.qatten(mixer, *(inputs[k] for k in used))
    assert_close(fast.q_tot, q_tot)
    assert_close(fast.attention, attention)
    assert_close(fast.logits, logits)
    assert_close(fast.regularizer, regularizer)
    weights = torch.linspace(-1, 1, 6).double()
    ours = gradients(mixer, (fast.q_tot * weights).sum() + fast.regularizer, inputs["utilities"])
    theirs = gradients(mixer, (q_tot * weights).sum() + regularizer, inputs["utilities"])
    assert_close(ours, theirs)


@pytest.mark.parametrize("hypernet_layers", [1, 2])
def test_qmix(hypernet_layers):
    mixer = build("qmix", {"hypernet_layers": hypernet_layers})
    inputs = batch((6,))
    fast = mixer(**inputs).q_tot
    slow = textbook.qmix(mixer, inputs["utilities"], inputs["state"])
    assert_close(fast, slow)
    ours, theirs = (gradients(mixer, q.square().sum(), inputs["utilities"]) for q in (fast, slow))
    assert_close(ours, theirs)


@pytest.mark.parametrize("state_bias", [False, True])
@pytest.mark.parametrize("hypernet_layers", [1, 2])
def test_qlinear(hypernet_layers, state_bias):
    options = {"hypernet_layers": hypernet_layers, "state_bias": state_bias}
    mixer, inputs = build("qlinear", options), batch((6,))
    fast = mixer(**inputs)
    used = ("utilities", "state", "unit_features")
    slow, weights = textbook.qlinear(mixer, *(inputs[k] for k in used))
    assert_close(fast.q_tot, slow)
    assert_close(fast.agent_weights, weights)
    scalars = fast.q_tot.square().sum(), slow.square().sum()
    ours, theirs = (gradients(mixer, x, inputs["utilities"]) for x in scalars)
    assert_close(ours, theirs)


@pytest.mark.parametrize("options", QPLEXES, ids=str)
def test_qplex(options):
    mixer, inputs = build("qplex", options), batch((6,)) | {"mask": None}
    fast = mixer(**inputs)
    used = ("utilities", "state", "unit_features", "actions", "best_utilities")
    slow, lambdas, regularizer = textbook.qplex(mixer, *(inputs[k] for k in used))
    assert_close(fast.q_tot, slow)
    assert_close(fast.agent_weights, lambdas)
    assert_close(fast.regularizer.to(regularizer), regularizer)
    scalars = fast.q_tot.square().sum() + fast.regularizer, slow.square().sum() + regularizer
    ours, theirs = (gradients(mixer, x, inputs["utilities"]) for x in scalars)
    assert_close(ours, theirs)


def test_autograd_agrees_with_finite_differences():
    mixer = build("qatten", {"q_in_key": True, "weighted_heads": True, "attention_bias": True})
    inputs = batch((2,))

    def scalar(utilities):
        mixed = mixer(**inputs | {"utilities": utilities})
        return mixed.q_tot.sum() + mixed.regularizer

    assert torch.autograd.gradcheck(scalar, inputs["utilities"])
