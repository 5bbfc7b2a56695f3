"""Effective weights: right by finite differences, summed up over the living, harmless."""

import numpy as np
import pytest
import torch

from rllib_qatten import columns
from rllib_qatten.algorithms import ALGORITHMS
from rllib_qatten.mixers import Mixer
from rllib_qatten.training.batch import pack
from rllib_qatten.training.effective_weights import effective_weights, summary
from tests.training.test_rl_module import build, episodes, tensors

MIXED = [name for name in ALGORITHMS if isinstance(build(name).mixer, Mixer)]


@pytest.mark.parametrize("name", MIXED)
def test_they_are_the_slopes_of_q_tot(name):
    module, batch = build(name), tensors(pack(episodes()))
    mixed, utilities, found = effective_weights(module, batch)
    assert all(p.grad is None for p in module.parameters())
    assert utilities.shape == found.shape == (len(batch[columns.NOW]), 2)
    assert not utilities.requires_grad
    if name == "QPLEX":  # what the joint action adds to its weights carries no gradient
        return
    now = batch[columns.NOW]
    inputs = {**module._mixer_inputs(batch, now)}
    step = 1e-5
    for i in range(2):
        change = step * torch.eye(2)[i].double()
        up, down = (
            module.mixer(utilities + sign * change, **inputs).q_tot.detach() for sign in (1, -1)
        )
        np.testing.assert_allclose((up - down) / (2 * step), found[:, i], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(
        module.mixer(utilities, **inputs).q_tot.detach(), mixed.q_tot.detach()
    )


def test_means_and_spread_over_the_living():
    weights = torch.tensor([[1.0, 3.0, 100.0], [2.0, 50.0, 70.0], [9.0, 9.0, 9.0]])
    alive = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    found = summary(weights, alive)
    assert found == {
        "effective_weight_mean": 2.0,  # (1 + 3) / 2 and 2
        "effective_weight_std": 0.5,  # 1 and 0
        "agent_0_effective_weight": 1.5,
        "agent_1_effective_weight": 3.0,
        "agent_2_effective_weight": pytest.approx(float("nan"), nan_ok=True),
    }
