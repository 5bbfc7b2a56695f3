"""Threads that rows are shared out to."""

import os
import threading
import time

import pytest
import torch

from rllib_qatten.hardware.threads import FEWEST, by_threads, in_threads, threads_for


def test_a_thread_needs_rows():
    with by_threads(3):
        found = [threads_for(FEWEST * k // 2) for k in (0, 2, 3, 4, 7, 20)]
    assert found == [1, 1, 1, 2, 3, 3]
    assert threads_for(100 * FEWEST) == 1  # outside


def test_threads_run_at_once_and_keep_their_order():
    together = threading.Barrier(3)
    assert in_threads(lambda a, b: (together.wait(20), a + b)[1], [1, 2, 3], [4, 5, 6]) == [5, 7, 9]


def test_no_thread_records_for_gradients():
    with torch.no_grad():
        assert in_threads(lambda _: torch.is_grad_enabled(), range(2)) == [False, False]


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0)])
def test_what_one_thread_raises_is_raised_when_all_have_ended(numbers):
    ended = []

    def inverted(x):
        if x:
            time.sleep(0.1)
        ended.append(x)
        return 1 / x

    with pytest.raises(ZeroDivisionError):
        in_threads(inverted, numbers)
    assert sorted(ended) == [0, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own():
    assert in_threads(abs, [1, 2]) == [1, 2]
    time.sleep(0.1)  # until the thread waits for work
    if not (child := os.fork()):
        os._exit(in_threads(abs, [3, -4]) != [3, 4])
    for _ in range(200):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.05)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert ended
    assert status == 0
