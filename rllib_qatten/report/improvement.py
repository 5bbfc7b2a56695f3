"""Whether one algorithm's runs end above another's: how probable it is, with an exact test."""

from __future__ import annotations

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
import scipy.stats

#: Digits of a score that tell runs apart: the order of like evaluations changes later ones.
DIGITS = 12
#: Up to so many (runs of both, squared, times tasks) every way to exchange runs counts; of more,
#: which would take seconds, so many ways are drawn.
LARGEST, DRAWS = 40_000, 9_999


class Improvement(NamedTuple):
    """How likely a run of one algorithm ends above one of another on the same task.

    Attributes:
        probability: Mean over tasks; a tie counts half.
        p: Two-sided p-value of it, by an exact permutation test: were the algorithms alike, each
            task's runs might as well have been shared out between them in any other way. Of one
            task it is Mann and Whitney's.
        least_p: The smallest p-value that so many runs can give, which they do if each of one
            algorithm's is above each of the other's.
    """

    probability: float
    p: float
    least_p: float


def improvements(scores: dict[str, np.ndarray]) -> dict[tuple[str, str], Improvement]:
    """(X, Y) -> how likely a run of X ends above one of Y, from normalized final scores [R, M]."""
    estimates = {}
    for x, y in itertools.combinations(scores, 2):
        found = compare(scores[x].round(DIGITS), scores[y].round(DIGITS))
        estimates[x, y] = found
        estimates[y, x] = found._replace(probability=1 - found.probability)
    return estimates


def compare(x: np.ndarray, y: np.ndarray) -> Improvement:
    """How likely a number of x [R, M] is above one of y [S, M] on the same of M tasks."""
    (n, tasks), m = x.shape, len(y)
    # Ties share a rank; twice as much is whole.
    ranks = np.rint(2 * scipy.stats.rankdata(np.concatenate([x, y]), axis=0)).astype(int).T
    # The sum of x's exceeds the least that it can be by twice the pairs in which x is above.
    least = n * (n + 1)
    above = int(ranks[:, :n].sum()) - tasks * least
    if (n + m) ** 2 * tasks <= LARGEST:
        # Tasks are independent of each other, so that the chances of a sum are a convolution.
        of_sums = [_chances(of_task, n)[least:] for of_task in ranks]
        chances = functools.reduce(np.convolve, of_sums)
        smallest = 1 / math.comb(n + m, n) ** tasks
        tail = min(chances[above:].sum(), chances[: above + 1].sum())
    else:
        drawn = _draws(ranks, n) - tasks * least
        # What was seen is one of the ways, too: without it, p would be too small.
        smallest = 1 / (DRAWS + 1)
        tail = (1 + min((drawn >= above).sum(), (drawn <= above).sum())) * smallest
    # Rounding must not take p below what is possible, nor above 1.
    p = min(1.0, 2 * max(smallest, float(tail)))
    return Improvement(above / (2 * n * m * tasks), p, 2 * smallest)


def _chances(ranks: np.ndarray, n: int) -> np.ndarray:
    """The chance of every sum, from 0 up, of n of these whole numbers, all choices alike likely."""
    most = int(np.sort(ranks)[-n:].sum())
    # In how many ways so many of the numbers, as far as they were gone through, have such a sum.
    ways = np.zeros((n + 1, most + 1))
    ways[0, 0] = 1
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, :-rank]
    return ways[n] / math.comb(len(ranks), n)


def _draws(ranks: np.ndarray, n: int) -> np.ndarray:
    """The sum over tasks of n of each task's numbers [M, N], drawn `DRAWS` times."""
    rng = np.random.default_rng(0)  # the same runs give the same page
    totals = np.zeros(DRAWS, int)
    for of_task in ranks:
        totals += rng.permuted(np.tile(of_task, (DRAWS, 1)), axis=1)[:, :n].sum(1)
    return totals
