"""`InputLayout` against a construction row by row."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rllib_qatten.agents import InputLayout

sizes = st.integers(1, 5)
layouts = st.builds(InputLayout, sizes, sizes, sizes, st.booleans(), st.booleans())


@st.composite
def cases(draw, n_steps=1):
    layout = draw(layouts)
    leading = draw(arrays.array_shapes(min_dims=1, max_dims=2, max_side=4))
    shape = (*leading, layout.n_agents)
    number = st.floats(-10, 10, width=32)
    steps = [
        (
            draw(arrays.arrays(np.float32, (*shape, layout.observation_size), elements=number)),
            draw(arrays.arrays(np.int64, shape, elements=st.integers(-1, layout.n_actions - 1))),
        )
        for _ in range(n_steps)
    ]
    return layout, leading, steps


def naive(layout, observations, last_actions):
    """One row after another, one number after another."""
    rows = []
    for index in np.ndindex(last_actions.shape):
        row = list(observations[index])
        if layout.last_action:
            row += [float(last_actions[index] == a) for a in range(layout.n_actions)]
        if layout.agent_id:
            row += [float(index[-1] == i) for i in range(layout.n_agents)]
        rows.append(row)
    return torch.tensor(np.array(rows)).view(*last_actions.shape, layout.size).float()


@settings(max_examples=150)
@given(cases())
def test_batch_equals_naive_rows(case):
    layout, _, [(observations, last_actions)] = case
    actual = layout(torch.from_numpy(observations), torch.from_numpy(last_actions))
    assert torch.equal(actual, naive(layout, observations, last_actions))


@settings(max_examples=75)
@given(cases(n_steps=3))
def test_one_matrix_serves_all_steps(case):
    layout, leading, steps = case
    inputs = layout.blank(*leading)
    for observations, last_actions in steps:
        actual = layout.fill(inputs, torch.from_numpy(observations), torch.from_numpy(last_actions))
        assert actual is inputs
        assert torch.equal(inputs, naive(layout, observations, last_actions))


def test_size_counts_the_chosen_parts():
    assert InputLayout(128, 14, 8).size == 150
    assert InputLayout(128, 14, 8, last_action=False).size == 136
    assert InputLayout(128, 14, 8, agent_id=False).size == 142
    assert InputLayout(128, 14, 8, last_action=False, agent_id=False).size == 128


def test_small_integers_and_double_precision():
    layout = InputLayout(1, 3, 2)
    observations = torch.tensor([[[0.5], [0.25]]], dtype=torch.float64)
    inputs = layout(observations, torch.tensor([[-1, 2]], dtype=torch.int8))
    expected = [[[0.5, 0, 0, 0, 1, 0], [0.25, 0, 0, 1, 0, 1]]]
    assert torch.equal(inputs, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(
    ("observations", "actions", "message"),
    [
        ((4, 2, 9), (4, 2), r"observations must be \[4, 2, 3\], got \[4, 2, 9\]"),
        ((4, 1, 3), (4, 1), r"observations must be \[4, 2, 3\], got \[4, 1, 3\]"),
        ((4, 2, 3), (4,), r"last_actions must be \[4, 2\], got \[4\]"),
    ],
)
def test_wrong_shapes_are_explained(observations, actions, message):
    layout = InputLayout(3, 5, 2)
    with pytest.raises(ValueError, match=message):
        layout(torch.zeros(observations), torch.zeros(actions, dtype=torch.int64))


def test_inputs_of_another_layout_are_refused():
    layout = InputLayout(3, 5, 2)
    other = InputLayout(3, 5, 2, agent_id=False).blank(4)
    with pytest.raises(ValueError, match=r"inputs must be \[4, 2, 10\], got \[4, 2, 8\]"):
        layout.fill(other, torch.zeros(4, 2, 3), torch.zeros(4, 2, dtype=torch.int64))
