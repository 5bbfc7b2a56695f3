"""WQMIX's weights, against its rules written out per transition."""

import pytest
import torch
from ray.rllib.core.columns import Columns

from rllib_qatten import WQMIXConfig, columns
from rllib_qatten.algorithms.wqmix import CENTRAL_Q, WQMIXTorchLearner
from rllib_qatten.training.batch import pack
from rllib_qatten.training.losses import targets_of
from tests.training.test_rl_module import build, episodes, tensors


def greedy(utilities, legal):
    return utilities.masked_fill(~legal, -torch.inf).argmax(-1)


@pytest.mark.parametrize("weighting", ["ow", "cw"])
def test_weights(weighting):
    module, batch = build("WQMIX"), tensors(pack(episodes((6, 2, 5, 4))))
    batch[columns.LEGAL_ACTIONS][..., 1] = True
    sizes, now = batch[columns.BATCH_SIZES], batch[columns.NOW]
    inputs = module.layout(batch[Columns.OBS], batch[columns.LAST_ACTIONS])
    config = WQMIXConfig().training(weighting=weighting, alpha=0.25)
    with torch.no_grad():
        utilities = module.agent(inputs, sizes)
        central = module.target_central_agent(inputs, sizes)
        best = greedy(utilities, batch[columns.LEGAL_ACTIONS])
        batch[Columns.ACTIONS][::3] = best[now][::3]  # some greedy steps
        forward = module.forward_train(batch)
        at_best = central.gather(-1, best.unsqueeze(-1)).squeeze(-1)
        central_best = module.target_mixer(at_best, batch[columns.STATE]).q_tot
        torch.testing.assert_close(forward[columns.NEXT_Q_TOT], central_best[4:])
        targets = targets_of(forward, batch, config)
        total, kinds = 0.0, set()
        for m, row in enumerate(now.tolist()):
            if weighting == "ow":
                full = forward[columns.Q_TOT][m] < targets[m]
            else:
                took = (batch[Columns.ACTIONS][m] == best[row]).all()
                full = took or targets[m] > central_best[row]
            kinds.add(bool(full))
            total += (1.0 if full else 0.25) * (forward[columns.Q_TOT][m] - targets[m]) ** 2
            total += (forward[CENTRAL_Q][m] - targets[m]) ** 2
        assert kinds == {True, False}
        loss, _ = WQMIXTorchLearner.loss(forward, batch, config)
    torch.testing.assert_close(loss, total / len(now))


def test_the_central_networks_learn_apart():
    module, batch = build("WQMIX"), tensors(pack(episodes()))
    loss, _ = WQMIXTorchLearner.loss(module.forward_train(batch), batch, WQMIXConfig())
    for part in (module.agent, module.mixer, module.central_agent, module.central_mixer):
        found = torch.autograd.grad(loss, list(part.parameters()), retain_graph=True)
        assert any(g.abs().sum() > 0 for g in found)
    forward = module.forward_train(batch)
    found = torch.autograd.grad(
        forward[CENTRAL_Q].sum(), list(module.agent.parameters()), allow_unused=True
    )
    assert all(g is None for g in found)
