"""What QPLEX promises beyond IGM: the greedy value, and where gradients go."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from tests.mixers.batches import QPLEXES, A, batch, build
from tests.mixers.textbook import transformation


def transformed(mixer, inputs):
    return transformation(mixer, *(inputs[k] for k in ("utilities", "state", "unit_features")))[:2]


@pytest.mark.parametrize("options", QPLEXES, ids=str)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 4), scale=st.sampled_from([0.0, 1.0, 30.0]))
def test_qplex_values_greedy_joint_actions_by_the_sum_of_vt(options, seed, n, scale):
    mixer, inputs = build("qplex", options, n, seed), batch((4,), n, seed, scale=scale)
    (w, v), best = transformed(mixer, inputs), inputs["best_utilities"]
    vt = w * best + v
    assert_close(mixer(**inputs | {"utilities": best}).q_tot, vt.sum(-1))
    assert (mixer(**inputs).q_tot <= vt.sum(-1) + 1e-9 * scale).all()


@pytest.mark.parametrize("options", QPLEXES, ids=str)
def test_qplex_advantages_carry_no_gradient_but_their_weights_do(options):
    mixer, inputs = build("qplex", options), batch((4,))
    inputs["best_utilities"].requires_grad_()
    q_tot = mixer(**inputs).q_tot
    sources = inputs["utilities"], inputs["best_utilities"], mixer.lambda_key.first.weight
    slope, nothing, kernels = torch.autograd.grad(q_tot.sum(), sources, allow_unused=True)
    w, _ = transformed(mixer, inputs)
    assert_close(slope, w)
    assert nothing is None
    assert (kernels != 0).any()
    # The transformation, too, learns by the first term alone.
    reads = mixer.attention.query if mixer.attention else mixer.hyper_w.last
    (ours,) = torch.autograd.grad(mixer(**inputs).q_tot.sum(), reads.weight)
    (alone,) = torch.autograd.grad((w * inputs["utilities"]).sum(), reads.weight)
    assert_close(ours, alone)


def test_qplex_weighs_advantages_by_the_joint_action():
    mixer, inputs = build("qplex", {}), batch((4,))
    before = mixer(**inputs).agent_weights
    other = (inputs["actions"] + torch.tensor([1, 0, 0])) % A
    after = mixer(**inputs | {"actions": other}).agent_weights
    assert not torch.isclose(before, after).any()  # one agent's action concerns all
    assert (before > 0).all()


def test_qplex_with_attention_by_hand():
    """Two agents, three heads: a query of zero attends to both alike, so w_i = 3 / 2 + 1e-10."""
    options = {"transformation": "attention", "n_heads": 3, "n_kernels": 2}
    mixer, inputs = build("qplex", options, n=2), batch((1,), n=2)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.zero_()
        mixer.attention.state_value.last.bias.fill_(0.7)  # c(s)
        mixer.lambda_key.first.bias.copy_(torch.tensor([[-4.0], [12.0]]))
        mixer.lambda_agent.first.bias.copy_(torch.logit(torch.tensor([[0.5, 0.25], [0.5, 0.75]])))
    inputs["utilities"] = torch.tensor([[1.0, -2.0]]).double()
    inputs["best_utilities"] = torch.tensor([[3.0, -1.0]]).double()
    mixed = mixer(**inputs)
    # lambda = sum_k |key_k| agent_k 1/2: 1 + 3 and 0.5 + 4.5.
    assert_close(mixed.agent_weights, torch.tensor([[4.0, 5.0]]).double(), atol=1e-6, rtol=0)
    # 1.5 (1 - 2) + 0.7, advantages 1.5 (1 - 3) and 1.5 (-2 + 1) times 3 and 4.
    assert mixed.q_tot.item() == pytest.approx(-1.5 + 0.7 - 3 * 3 - 4 * 1.5, abs=1e-5)
    assert_close(mixed.attention, torch.full((1, 3, 2), 0.5).double())
    assert mixed.state_value.item() == pytest.approx(0.7)
