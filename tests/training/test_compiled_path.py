"""What trains in float32 on a CPU is the compiled path; golden numbers in float64 are torch's."""

import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from benchmarks.teams import SIZES, random_episodes
from benchmarks.updaters import build_learner, learner_update
from rllib_qatten import QattenConfig, QMIXConfig
from rllib_qatten.agents import recurrent
from rllib_qatten.agents.shares import shares
from rllib_qatten.compiled.compiler import _blas, kernels, one_blas_thread
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


@pytest.fixture
def _three_threads():
    """As in a script of one's own, where torch takes all cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_three_threads")
@pytest.mark.parametrize(
    ("settings", "of_process", "of_torch", "shared_out"),
    [
        ({}, None, 1, 1),
        ({"num_cpus_per_learner": 2}, "3", 1, 2),
        ({"num_cpus_per_learner": 0.5}, None, 1, 1),
        ({"num_cpus_per_learner": "auto"}, None, 1, 1),
        ({"agent": "feed_forward"}, None, 1, 1),  # the CPUs that an algorithm has by default
        ({"agent": "feed_forward", "num_cpus_per_learner": 2}, None, 2, 1),
        ({"agent": "feed_forward", "num_cpus_for_main_process": 4}, None, 3, 1),
        ({"agent": "feed_forward"}, "3", 3, 1),
    ],
)
def test_an_update_takes_the_threads_that_are_meant(
    settings, of_process, of_torch, shared_out, monkeypatch
):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if of_process:
        monkeypatch.setenv("OMP_NUM_THREADS", of_process)
    size, used = SIZES["tiny"], set()
    config = QMIXConfig().update_from_dict({"mixing_embed_dim": 8, **settings})
    learner = build_learner(config, size)
    loss = learner.loss

    def threads():
        return torch.get_num_threads(), len(shares([10_000], 1))

    learner.loss = lambda *given: (used.add(threads()), loss(*given))[1]
    learner_update(learner, random_episodes(size, ragged=True))()
    assert used == {(of_torch, shared_out)}
    assert threads() == (3, 1)


def test_compiled_products_take_one_thread():
    before = [library.num_threads for library in _blas()]
    try:
        for library in _blas():
            library.set_num_threads(2)
        with one_blas_thread():
            assert {library.num_threads for library in _blas()} == {1}
        assert {library.num_threads for library in _blas()} == {2}
    finally:
        for library, number in zip(_blas(), before, strict=True):
            library.set_num_threads(number)
