"""The hand-written gradient of `packed_gru` against autograd and finite differences."""

import pytest
import torch

from rllib_qatten.agents import packed_gru, packed_gru_steps
from rllib_qatten.agents.packed_gru import packed_gru_by_library
from tests.agents.packing import LENGTHS, assert_close, batch_sizes


@pytest.mark.parametrize("block", [1, 4, 8, 100])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_packed_gru_equals_textbook_for_every_block_size(lengths, block):
    torch.manual_seed(0)
    cell = torch.nn.GRUCell(3, 5).double()
    inputs = torch.randn(sum(lengths), 3, dtype=torch.float64, requires_grad=True)
    rows, weights = batch_sizes(lengths), tuple(cell.parameters())
    fast, slow = packed_gru(inputs, rows, weights, block), packed_gru_steps(inputs, rows, weights)
    weight = torch.randn_like(slow)
    assert_close(fast, slow, 1e-10)
    with torch.no_grad():
        assert_close(packed_gru(inputs, rows, weights, block), slow, 1e-10)
    for a, b in zip(
        torch.autograd.grad(fast, [inputs, *weights], weight),
        torch.autograd.grad(slow, [inputs, *weights], weight),
        strict=True,
    ):
        assert_close(a, b, 1e-10)


def test_first_and_second_gradients_against_finite_differences():
    torch.manual_seed(0)
    cell = torch.nn.GRUCell(2, 3).double()
    inputs = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    tensors = (inputs, *cell.parameters())

    def function(inputs, *weights):
        return packed_gru(inputs, [3, 2, 1], weights, 2)

    assert torch.autograd.gradcheck(function, tensors)
    assert torch.autograd.gradgradcheck(function, tensors)


@pytest.mark.parametrize("wanted", [(0,), (1, 4), (2, 3)])
def test_only_some_gradients_wanted(wanted):
    cell = torch.nn.GRUCell(2, 3).double().requires_grad_(False)
    tensors = [torch.randn(3, 2, dtype=torch.float64), *cell.parameters()]
    for i in wanted:
        tensors[i].requires_grad_()

    def function(*given):
        full = list(tensors)
        for i, t in zip(wanted, given, strict=True):
            full[i] = t
        return packed_gru(full[0], [2, 1], tuple(full[1:]))

    given = tuple(tensors[i] for i in wanted)
    assert torch.autograd.gradcheck(function, given)
    assert torch.autograd.gradgradcheck(function, given)


def test_saturated_gates_stay_finite():
    cell = torch.nn.GRUCell(1, 2)
    inputs = torch.tensor([[1e4], [-1e4], [0.0]], requires_grad=True)
    weights = tuple(cell.parameters())
    fast, slow = packed_gru(inputs, [1, 1, 1], weights), packed_gru_steps(inputs, [1] * 3, weights)
    torch.testing.assert_close(fast, slow)
    fast.sum().backward()
    assert inputs.grad.isfinite().all()


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_torchs_own_gru_takes_the_same_layout_and_weights(lengths):
    torch.manual_seed(0)
    cell = torch.nn.GRUCell(3, 5).double()
    inputs = torch.randn(sum(lengths), 3, dtype=torch.float64, requires_grad=True)
    rows, weights = batch_sizes(lengths), tuple(cell.parameters())
    found = packed_gru_by_library(inputs, rows, weights)
    slow = packed_gru_steps(inputs, rows, weights)
    weight = torch.randn_like(slow)
    assert_close(found, slow, 1e-10)
    with torch.no_grad():
        assert_close(packed_gru_by_library(inputs, rows, weights), slow, 1e-10)
    for a, b in zip(
        torch.autograd.grad(found, [inputs, *weights], weight),
        torch.autograd.grad(slow, [inputs, *weights], weight),
        strict=True,
    ):
        assert_close(a, b, 1e-10)
