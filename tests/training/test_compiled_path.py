"""What trains in float32 on a CPU is the compiled path; golden numbers in float64 are torch's."""

import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from benchmarks.teams import SIZES, random_episodes
from benchmarks.updaters import build_learner
from rllib_qatten import QattenConfig, QMIXConfig
from rllib_qatten.agents import recurrent
from rllib_qatten.compiled.compiler import kernels
from rllib_qatten.mixers import compiled
from rllib_qatten.training import returns, selection
from rllib_qatten.training.batch import pack
from rllib_qatten.training.losses import td_loss

pytestmark = pytest.mark.skipif(kernels("recurrent") is None, reason="numba is not installed")
COMPILED = {"_UnrollBackward", "_MixingBackward", "_TakenBackward"}


def names(function, seen=None):
    """Names of all steps of a graph."""
    seen = set() if seen is None else seen
    if function is not None and function not in seen:
        seen.add(function)
        for following, _ in function.next_functions:
            names(following, seen)
    return {step.name() for step in seen}


def loss_of(module, batch, config):
    return td_loss(module.forward_train(batch), batch, config)[0]


@pytest.mark.parametrize("config_class", [QattenConfig, QMIXConfig])
def test_float32_is_compiled_and_equals_torch_in_both_precisions(config_class, monkeypatch):
    size, config = SIZES["tiny"], config_class().training(recipe="smax_recurrent")
    module = build_learner(config, size).module[DEFAULT_MODULE_ID].unwrapped()
    packed = pack(random_episodes(size, ragged=True))
    batch = {name: torch.from_numpy(array) for name, array in packed.items()}
    parameters = [p for p in module.parameters() if p.requires_grad]

    loss = loss_of(module, batch, config)
    assert names(loss.grad_fn) >= COMPILED
    grads = torch.autograd.grad(loss, parameters)
    with monkeypatch.context() as patched:
        patched.setattr(recurrent, "suits", lambda *_: False)
        patched.setattr(compiled, "suits", lambda *_: False)
        for module_of in (selection, returns):
            patched.setattr(module_of, "kernels", lambda name: None)
        by_torch = loss_of(module, batch, config)
        assert not names(by_torch.grad_fn) & COMPILED
        torch_grads = torch.autograd.grad(by_torch, parameters)
    torch.testing.assert_close(loss, by_torch, rtol=1e-5, atol=1e-7)
    for found, wanted in zip(grads, torch_grads, strict=True):
        assert (found - wanted).norm() <= 1e-5 * wanted.norm().clamp(min=1e-6)

    exact = {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}
    in_float64 = loss_of(module.double(), exact, config)
    assert not names(in_float64.grad_fn) & COMPILED
    torch.testing.assert_close(loss.double(), in_float64, rtol=1e-5, atol=1e-7)
