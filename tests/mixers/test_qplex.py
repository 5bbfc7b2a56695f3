"""What QPLEX promises beyond IGM: the greedy value, and where gradients go."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from tests.mixers.batches import VARIANTS, A, batch, build


@pytest.mark.parametrize("options", [o for name, o in VARIANTS if name == "qplex"], ids=str)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 4), scale=st.sampled_from([0.0, 1.0, 30.0]))
def test_qplex_values_greedy_joint_actions_by_the_sum_of_vt(options, seed, n, scale):
    mixer, inputs = build("qplex", options, n, seed), batch((4,), n, seed, scale=scale)
    best, state = inputs["best_utilities"], inputs["state"]
    vt = (mixer.hyper_w(state).abs() + 1e-10) * best + mixer.hyper_v(state)
    assert_close(mixer(**inputs | {"utilities": best}).q_tot, vt.sum(-1))
    assert (mixer(**inputs).q_tot <= vt.sum(-1) + 1e-9 * scale).all()


def test_qplex_advantages_carry_no_gradient_but_their_weights_do():
    mixer, inputs = build("qplex", {}), batch((4,))
    inputs["best_utilities"].requires_grad_()
    q_tot = mixer(**inputs).q_tot
    sources = inputs["utilities"], inputs["best_utilities"], mixer.lambda_key.first.weight
    slope, nothing, kernels = torch.autograd.grad(q_tot.sum(), sources, allow_unused=True)
    assert_close(slope, mixer.hyper_w(inputs["state"]).abs() + 1e-10)
    assert nothing is None
    assert (kernels != 0).any()
    # The transformation, too, learns by the first term alone.
    (ours,) = torch.autograd.grad(mixer(**inputs).q_tot.sum(), mixer.hyper_w.last.bias)
    w = mixer.hyper_w(inputs["state"]).abs()
    (alone,) = torch.autograd.grad((w * inputs["utilities"]).sum(), mixer.hyper_w.last.bias)
    assert_close(ours, alone)


def test_qplex_weighs_advantages_by_the_joint_action():
    mixer, inputs = build("qplex", {}), batch((4,))
    before = mixer(**inputs).agent_weights
    other = (inputs["actions"] + torch.tensor([1, 0, 0])) % A
    after = mixer(**inputs | {"actions": other}).agent_weights
    assert not torch.isclose(before, after).any()  # one agent's action concerns all
    assert (before > 0).all()
