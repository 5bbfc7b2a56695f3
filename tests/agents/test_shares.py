"""A batch's games shared out to threads: every row once, whole games, the same results."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rllib_qatten.agents.shares import shares
from rllib_qatten.compiled import threads as module
from rllib_qatten.compiled.compiler import kernels
from rllib_qatten.compiled.threads import by_threads, in_threads
from tests.agents import test_compiled_entity, test_compiled_recurrent
from tests.agents.packing import LENGTHS, assert_close, batch_sizes

AGENTS = {"entity": test_compiled_entity, "recurrent": test_compiled_recurrent}


@pytest.fixture(autouse=True)
def _whatever_the_size(monkeypatch):
    monkeypatch.setattr(module, "FEWEST", 1)


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


def test_few_rows_stay_together(monkeypatch):
    monkeypatch.setattr(module, "FEWEST", 100)
    with by_threads(3):
        assert [len(shares([m], 1)) for m in (99, 100, 199, 200, 1000)] == [1, 1, 1, 2, 3]
    assert len(shares([1000], 1)) == 1  # outside


@pytest.mark.skipif(kernels("units") is None, reason="numba is not installed")
@pytest.mark.parametrize("threads", [2, 3, 9])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("agent", AGENTS)
def test_results_and_gradients_are_torchs_in_float64(agent, lengths, threads):
    tests, sizes = AGENTS[agent], batch_sizes(lengths)
    ours, exact = tests.both(sizes=sizes)
    for with_head in (True, False):
        wanted = tests.results(*exact, sizes, with_head)
        with by_threads(threads):
            found, again = (tests.results(*ours, sizes, with_head) for _ in range(2))
        for a, b, c in zip(found, wanted, again, strict=True):
            assert_close(a.double(), b, 1e-6)
            assert a.equal(c)  # to the bit, whichever thread is first


def test_threads_run_at_once_and_keep_their_order():
    together = threading.Barrier(3)
    assert in_threads(lambda a, b: (together.wait(20), a + b)[1], [1, 2, 3], [4, 5, 6]) == [5, 7, 9]


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0)])
def test_what_one_thread_raises_is_raised(numbers):
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda x: 1 / x, numbers)
