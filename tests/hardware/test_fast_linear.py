"""Products by spans of rows against float64, and the layer made of them against torch's."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from rllib_qatten.hardware import fast_linear as products
from rllib_qatten.hardware import product_choice
from rllib_qatten.hardware.fast_linear import FEWEST, MOST, Linear, by_rows, linear, over_rows

#: Below, at and beyond a span, with and without a rest.
ROWS = [0, 1, FEWEST - 1, FEWEST, FEWEST + 1, MOST, MOST + FEWEST, 2 * MOST + 3 * FEWEST + 5]


@pytest.fixture(params=["oneDNN", "torch"], autouse=True)
def engine(request, monkeypatch):
    """Both what is used where oneDNN is faster, and where it is not."""
    assert product_choice.ONEDNN is not None, "this torch has no oneDNN: that form is untested"
    fewest = None if request.param == "torch" else 32
    monkeypatch.setattr(product_choice, "choice", lambda: product_choice.Choice(fewest, "test"))


def matrix(rows, columns, transposed=False):
    shape = (columns, rows) if transposed else (rows, columns)
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(rows + columns))
    return drawn.T if transposed else drawn


def exact(a, b):
    return (a.double() @ b.double()).float()


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("rows", ROWS)
def test_products_are_those_of_float64(rows, transposed):
    x, weight, bias = matrix(rows, 30, transposed), matrix(14, 30, transposed), torch.randn(14)
    other = matrix(rows, 14, transposed)
    close = {"rtol": 1e-4, "atol": 1e-3}
    for few_lengths in (False, True):
        found = by_rows(x, weight, bias, few_lengths=few_lengths)
        assert_close(found, exact(x, weight.T) + bias, **close)
    assert_close(by_rows(x, weight), exact(x, weight.T), **close)
    assert_close(over_rows(x, other), exact(x.T, other), **close)
    assert_close(over_rows(other, x), exact(other.T, x), **close)


@given(st.integers(0, 10 * MOST))
@settings(deadline=None)
def test_spans_cover_all_rows_by_few_lengths(rows):
    *spans, rest = products._spans(rows)
    assert sum(spans) + rest == rows
    assert 0 <= rest < FEWEST
    assert set(spans) <= set(range(256, 2049, 256))


@pytest.mark.parametrize("shape", [(5,), (FEWEST,), (3, 400), (2, 3, 500), (0,)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_layer_is_torchs(shape, bias):
    torch.manual_seed(0)
    ours = Linear(30, 14, bias)
    theirs = torch.nn.Linear(30, 14, bias)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(*shape, 30, requires_grad=True)
    factor = torch.randn(*shape, 14)
    results = []
    for layer in (ours, theirs):
        y = layer(x)
        results.append((y, *torch.autograd.grad((y * factor).sum(), [x, *layer.parameters()])))
    for found, wanted in zip(*results, strict=True):
        assert_close(found, wanted, rtol=1e-4, atol=1e-3)


def test_only_what_is_asked_for_gets_a_gradient():
    x, weight = torch.randn(FEWEST, 6), torch.randn(4, 6, requires_grad=True)
    linear(x, weight).sum().backward()
    assert x.grad is None
    assert_close(weight.grad, x.sum(0).expand(4, 6), rtol=1e-4, atol=1e-4)


def test_second_derivative():
    x = torch.randn(FEWEST, 6, requires_grad=True)
    weight = torch.randn(4, 6, requires_grad=True)
    found = []
    for product in (linear, F.linear):
        (first,) = torch.autograd.grad(product(x, weight).square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), [x, weight]))
    for ours, theirs in zip(*found, strict=True):
        assert_close(ours, theirs, rtol=1e-4, atol=1e-2)


def test_other_types_take_torchs_product():
    x, weight = torch.randn(FEWEST, 6).double(), torch.randn(4, 6).double()
    assert torch.equal(linear(x, weight), F.linear(x, weight))
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x.float(), weight.float()).dtype == torch.bfloat16
