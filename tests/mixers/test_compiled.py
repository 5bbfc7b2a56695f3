"""Compiled mixers against torch's form in float64: values, gradients, every option."""

import dataclasses

import pytest
import torch

from rllib_qatten.compiled.compiler import kernels
from rllib_qatten.hardware import threads
from rllib_qatten.mixers import compiled
from tests.mixers.batches import ALL_QATTENS, batch, build
from tests.mixers.test_fused import name_of

pytestmark = pytest.mark.skipif(kernels("qmix") is None, reason="numba is not installed")

CASES = [
    *(("qmix", {"hypernet_layers": layers}) for layers in (1, 2)),
    *(("qatten", options) for options in ALL_QATTENS),
    *(
        ("qatten", {"attend_reg_coef": coef, "reg_over_padding": padding})
        for coef, padding in ((0.0, False), (0.5, False), (0.5, True))
    ),
    ("qatten", {"n_heads": 1, "mixing_embed_dim": 3, "hypernet_embed": 5}),
]


def error(found, wanted):
    difference = (found.double() - wanted.double()).detach().norm()
    return float(difference / wanted.detach().norm().clamp(min=1e-12))


def close(found, wanted, by_torch=None, tolerance=1e-6):
    """Within the tolerance or, where sums cancel, not much farther off than torch's own float32."""
    assert found.shape == wanted.shape
    if wanted.numel():
        allowed = 0.0 if by_torch is None else 10 * error(by_torch, wanted)
        assert error(found, wanted) <= max(tolerance, allowed)


def inputs_of(rows, seed=0):
    found = batch((rows,), seed=seed)
    found["alive"][0] = False
    return found


def both(name, options, rows):
    """The mixer in float32, compiled, and in float64, by torch; each with its inputs."""
    forms = []
    for dtype in (torch.float32, torch.float64):
        given = {
            key: x.detach().float().to(dtype) if x.is_floating_point() else x
            for key, x in inputs_of(rows).items()
        }
        given["utilities"].requires_grad_()
        forms.append((build(name, options).float().to(dtype), given))
    return forms


@pytest.fixture
def counted(monkeypatch):
    """How often compiled functions ran."""
    calls = []
    held = compiled._held
    monkeypatch.setattr(compiled, "_held", lambda *a: calls.append(a) or held(*a))
    return calls


@pytest.mark.parametrize(("rows", "number"), [(1, 1), (700, 1), (700, 3)])
@pytest.mark.parametrize(
    ("name", "options"),
    CASES,
    ids=lambda x: x if isinstance(x, str) else name_of({"hypernet_layers": 2} | x),
)
def test_equals_torch_in_float64(name, options, rows, number, counted, monkeypatch):
    (ours, exact), results, working = both(name, options, rows), [], []
    monkeypatch.setattr(threads, "FEWEST", 1)
    in_threads = compiled.in_threads
    monkeypatch.setattr(
        compiled, "in_threads", lambda f, *a: working.append(len(a[0])) or in_threads(f, *a)
    )
    for form, by_torch in ((ours, False), (exact, False), (ours, True)):
        with monkeypatch.context() as patched, threads.by_threads(number):
            if by_torch:
                patched.setattr(compiled, "suits", lambda *_: False)
            results.append(values_and_gradients(*form))
    assert len(counted) == 2  # forward and backward, of the first alone
    assert working == [number, number]
    for found, wanted, by_torch in zip(*results, strict=True):
        assert (found is None) == (wanted is None)
        if found is not None:
            close(found, wanted, by_torch)


def values_and_gradients(mixer, given):
    mixed = mixer(**given)
    weights = torch.linspace(-1, 1, len(mixed.q_tot)).to(mixed.q_tot)
    scalar = (mixed.q_tot * weights).sum() + mixed.regularizer
    variables = [given["utilities"], *mixer.parameters()]
    unused = {"allow_unused": True, "materialize_grads": True}
    parts = [getattr(mixed, part.name) for part in dataclasses.fields(mixed)]
    return [*parts, *torch.autograd.grad(scalar, variables, **unused)]


@pytest.mark.parametrize("name", ["qmix", "qatten"])
def test_without_a_gradient(name, counted):
    (mixer, given), _ = both(name, {}, 7)
    with_gradient = mixer(**given).q_tot
    with torch.no_grad():
        assert torch.equal(mixer(**given).q_tot, with_gradient)
    assert len(counted) == 2


@pytest.mark.parametrize(
    ("name", "options"), [("qmix", {}), ("qatten", {"q_in_key": True, "weighted_heads": True})]
)
def test_second_derivatives(name, options):
    found = []
    for mixer, given in both(name, options, 4):
        mixed = mixer(**given)
        total = mixed.q_tot.sum() + mixed.regularizer
        (first,) = torch.autograd.grad(total, given["utilities"], create_graph=True)
        parameters = list(mixer.parameters())
        found.append(torch.autograd.grad(first.square().sum(), parameters, allow_unused=True))
    for ours, exact in zip(*found, strict=True):
        assert (ours is None) == (exact is None)
        if ours is not None:
            close(ours, exact, tolerance=1e-5)


@pytest.mark.parametrize("name", ["qmix", "qatten"])
def test_what_is_not_a_number_is_not_hidden(name):
    (mixer, given), _ = both(name, {}, 3)
    with torch.no_grad():
        next(mixer.parameters())[0] = float("nan")
    assert mixer(**given).q_tot.isnan().all()
    (mixer, given), _ = both(name, {}, 3)
    with torch.no_grad():
        given["utilities"][1, 0] = float("inf")
    assert not mixer(**given).q_tot[1].isfinite()
    assert mixer(**given).q_tot[[0, 2]].isfinite().all()


def test_other_tensors_take_torchs_form(counted):
    (mixer, given), (exact, exact_given) = both("qatten", {}, 3)
    exact(**exact_given)
    with torch.autocast("cpu", torch.bfloat16):
        mixer(**given)
    given["state"].requires_grad_()
    (gradient,) = torch.autograd.grad(mixer(**given).q_tot.sum(), given["state"])
    assert gradient.abs().sum() > 0
    assert not counted
