"""A batch's games shared out to threads: every row once, whole games, the same results."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rllib_qatten.agents import compiled_recurrent, entity
from rllib_qatten.agents import shares as shares_module
from rllib_qatten.agents.shares import shares
from rllib_qatten.compiled.compiler import kernels
from rllib_qatten.hardware import threads as threads_module
from rllib_qatten.hardware.threads import by_threads, in_threads
from tests.agents import test_compiled_entity, test_compiled_recurrent
from tests.agents.packing import LENGTHS, assert_close, batch_sizes

AGENTS = {"entity": test_compiled_entity, "recurrent": test_compiled_recurrent}


@pytest.fixture(autouse=True)
def _whatever_the_size(monkeypatch):
    monkeypatch.setattr(threads_module, "FEWEST", 1)


@pytest.fixture
def working(monkeypatch):
    """In how many threads at once each part of the work was done."""
    numbers = []

    def counting(function, *arguments):
        numbers.append(len(arguments[0]))
        return in_threads(function, *arguments)

    for where in (compiled_recurrent, entity, shares_module):
        monkeypatch.setattr(where, "in_threads", counting)
    return numbers


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    n=st.integers(1, 4),
    threads=st.integers(1, 15),
)
def test_every_thread_has_whole_games_and_about_as_many_rows(lengths, n, threads):
    sizes = batch_sizes(lengths)
    step_and_game = [(t, game) for t, size in enumerate(sizes) for game in range(size)]
    with by_threads(threads):
        given_out = shares(sizes, n)
    assert len(given_out) == min(threads, len(lengths))
    rows = np.concatenate([share.rows for share in given_out])
    assert sorted(rows) == list(range(sum(sizes) * n))
    owners = {}
    for k, share in enumerate(given_out):
        of_rows = [step_and_game[row // n] for row in share.rows]
        assert of_rows == sorted(of_rows)
        times, counts = np.unique([t for t, _ in of_rows], return_counts=True)
        assert list(times) == list(range(len(share.steps)))
        assert list(counts) == list(share.steps)
        assert all(owners.setdefault(game, k) == k for _, game in of_rows)
    loads = [len(share.rows) for share in given_out]
    assert max(loads) - min(loads) <= max(lengths) * n


@pytest.mark.skipif(kernels("units") is None, reason="numba is not installed")
@pytest.mark.parametrize("threads", [2, 3, 9])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("agent", AGENTS)
def test_results_and_gradients_are_torchs_in_float64(agent, lengths, threads, working):
    tests, sizes, number = AGENTS[agent], batch_sizes(lengths), min(threads, len(lengths))
    for with_head in (True, False):
        ours, exact = tests.both(sizes=sizes)
        wanted = tests.results(*exact, sizes, with_head)
        working.clear()
        with by_threads(threads):
            found, again = (tests.results(*ours, sizes, with_head) for _ in range(2))
        # Read once, forward and backward twice; there is nothing to join of a single game.
        assert working == [number] * (5 if number > 1 else 1)
        for a, b, c in zip(found, wanted, again, strict=True):
            assert_close(a.double(), b, 1e-6)
            assert a.equal(c)  # to the bit, whichever thread is first
        with by_threads(threads), torch.no_grad():  # as target networks
            network, inputs = ours
            plain = network if with_head else network.hidden_states
            assert plain(inputs, sizes).equal(found[0])


@pytest.mark.skipif(kernels("units") is None, reason="numba is not installed")
@pytest.mark.parametrize("agent", AGENTS)
def test_inputs_are_read_anew_for_other_games_or_threads(agent):
    """What was read for some shares is not taken for others'."""
    (agent, inputs), _ = AGENTS[agent].both(sizes=[5, 4, 2, 2])
    for sizes in ([5, 4, 2, 2], [4, 4, 3, 2], [5, 4, 4]):
        alone = agent(inputs, sizes)
        for threads in (2, 3):
            with by_threads(threads):
                assert_close(agent(inputs, sizes), alone, 1e-6)
