"""The probability of improvement and its test, each against a computation of its own."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from rllib_qatten.report import improvement, statistics
from rllib_qatten.report.improvement import compare, improvements
from rllib_qatten.report.runs import read_all
from tests.report.test_statistics import runs_of


def pairs(ours, theirs):
    """In how many pairs a number of ours is above one of theirs; a tie counts half."""
    return sum((x > y) + (x == y) / 2 for x in ours for y in theirs)


def ways(ours, theirs):
    """`pairs`, whichever of all numbers are ours."""
    every = [*ours, *theirs]
    for chosen in itertools.combinations(range(len(every)), len(ours)):
        rest = [every[i] for i in range(len(every)) if i not in chosen]
        yield pairs([every[i] for i in chosen], rest)


def two_sided(seen, possible):
    possible = np.array(possible)
    return min(1, 2 * min(np.mean(possible >= seen), np.mean(possible <= seen)))


def test_pairs_on_the_same_task_count(tmp_path):
    finals = {"3m": ([0.1, 0.5, 0.9], [0.5, 0.4]), "8m": ([0.7, 0.7, 0.2], [0.1, 0.3])}
    for task, (ours, theirs) in finals.items():
        runs_of(tmp_path / task, ours, task, "Qatten")
        runs_of(tmp_path / task, theirs, task, "VDN")
    compared = statistics.comparison(read_all([tmp_path])[0])
    assert compared.tasks == [("smac", "3m"), ("smac", "8m")]
    found = improvements(statistics.final_scores(compared))
    share = np.mean([pairs(*of_task) / 6 for of_task in finals.values()])
    assert found["Qatten", "VDN"].probability == pytest.approx(share)
    assert found["VDN", "Qatten"].probability == pytest.approx(1 - share)
    assert 0.3 < found["Qatten", "VDN"].p == found["VDN", "Qatten"].p <= 1


@pytest.mark.parametrize("values", [3, 100], ids=["ties", "few ties"])
@pytest.mark.parametrize(("n", "m"), [(3, 3), (4, 2), (1, 3)])
def test_two_tasks_are_tested_by_all_ways_to_exchange_their_runs(n, m, values):
    rng = np.random.default_rng(0)
    for _ in range(10):
        x, y = rng.integers(values, size=(n, 2)), rng.integers(values, size=(m, 2))
        seen = sum(pairs(*of_task) for of_task in zip(x.T, y.T, strict=True))
        of_tasks = [list(ways(*of_task)) for of_task in zip(x.T, y.T, strict=True)]
        together = [a + b for a, b in itertools.product(*of_tasks)]
        found = compare(x, y)
        assert found.probability == pytest.approx(seen / (2 * n * m))
        assert found.p == pytest.approx(two_sided(seen, together))
        assert found.least_p == pytest.approx(2 / math.comb(n + m, n) ** 2)
        assert found.p >= found.least_p


@pytest.mark.parametrize(("n", "m"), [(3, 3), (5, 4), (12, 15)])
def test_one_task_is_tested_by_mann_and_whitney(n, m):
    rng = np.random.default_rng(1)
    for _ in range(5):
        x, y = rng.normal(size=(n, 1)), rng.normal(0.5, 1, (m, 1))
        wanted = scipy.stats.mannwhitneyu(x[:, 0], y[:, 0], method="exact").pvalue
        assert compare(x, y).p == pytest.approx(wanted)


def test_one_task_with_ties_is_tested_by_scipys_permutations():
    rng = np.random.default_rng(2)
    for _ in range(5):
        x, y = rng.integers(4, size=(5, 1)), rng.integers(4, size=(4, 1))
        wanted = scipy.stats.permutation_test((x[:, 0], y[:, 0]), pairs, n_resamples=np.inf).pvalue
        assert compare(x, y).p == pytest.approx(wanted)


@pytest.mark.parametrize("tenth", [None, (1.0, 1.0), (0.1, 1.0)], ids=["nine", "tied", "reversed"])
def test_a_task_that_is_tied_or_goes_the_other_way_leaves_the_others_their_weight(tenth):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0.9, 0.95, (5, 9)), rng.uniform(0.3, 0.4, (5, 9))
    if tenth:
        x, y = np.c_[x, np.full(5, tenth[0])], np.c_[y, np.full(5, tenth[1])]
    found = compare(x, y)
    assert found.least_p <= found.p < 1e-9
    if tenth is None:
        assert found.p == pytest.approx(found.least_p)


@pytest.mark.parametrize("largest", [improvement.LARGEST, 0], ids=["exact", "drawn"])
def test_algorithms_that_are_alike_are_told_apart_as_rarely_as_p_says(monkeypatch, largest):
    """Exactly or by draws, with ties. A p-value is uniform or, as it is discrete here, greater."""
    monkeypatch.setattr(improvement, "LARGEST", largest)
    monkeypatch.setattr(improvement, "DRAWS", 199)
    rng, samples = np.random.default_rng(3), 1000
    both = rng.binomial(8, [0.1, 0.5, 0.9, 1.0], (samples, 2, 3, 4)) / 8
    p = np.array([compare(x, y).p for x, y in both])
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() <= level + 3 * (level * (1 - level) / samples) ** 0.5
    assert (p <= 0.05).mean() > 0.02
    assert (p == 1).mean() < 0.25
    better = [compare(x + 0.25, y).p for x, y in both[:200]]
    assert np.mean(np.array(better) <= 0.05) > 0.5


def test_many_runs_are_tested_by_draws_that_agree(monkeypatch):
    rng = np.random.default_rng(4)
    x, y = rng.normal(0.3, 1, (2, 20, 3)).round(1)
    exact = compare(x, y)
    monkeypatch.setattr(improvement, "LARGEST", 0)
    drawn = compare(x, y)
    assert drawn.probability == exact.probability
    assert drawn.p == pytest.approx(exact.p, abs=4 * (exact.p / improvement.DRAWS) ** 0.5)
    apart = compare(x + 100, y)
    assert apart == (1.0, 2 / (improvement.DRAWS + 1), 2 / (improvement.DRAWS + 1))


def test_three_runs_against_three_cannot_be_certain():
    """Of the 20 ways to share six numbers out, two are as extreme as the most extreme one."""
    apart = {"Qatten": np.array([[0.7], [0.8], [0.9]]), "VDN": np.array([[0.1], [0.2], [0.3]])}
    found = improvements(apart)["Qatten", "VDN"]
    assert found == (1.0, pytest.approx(2 / 20), pytest.approx(2 / 20))
    # X is above Y in 8.5 of 9 pairs; 2 of the 20 ways have as many: with either 0.7.
    tied = improvements({**apart, "VDN": np.array([[0.1], [0.1], [0.7]])})["Qatten", "VDN"]
    assert tied.probability == pytest.approx(8.5 / 9)
    assert tied.p == pytest.approx(2 * 2 / 20)
    twice = {name: np.repeat(values, 2, axis=1) for name, values in apart.items()}
    both = improvements(twice)["Qatten", "VDN"]  # two tasks say more
    assert (both.p, both.least_p) == pytest.approx((2 / 20**2, 2 / 20**2))


def test_single_runs_are_compared_and_prove_little():
    alike = {"Qatten": np.array([[0.97, 1.0]]), "QMIX": np.array([[0.97, 0.9]])}
    assert improvements(alike)["Qatten", "QMIX"] == (0.75, 1.0, 0.5)
    others = np.array([[0.2], [0.5], [0.6], [0.8]])
    one = improvements({"Qatten": np.array([[0.7]]), "QMIX": others})["Qatten", "QMIX"]
    wanted = scipy.stats.mannwhitneyu([0.7], others[:, 0], method="exact").pvalue
    assert one == (0.75, pytest.approx(wanted), pytest.approx(2 / 5))
    others[3] = 0.7  # x would be any of all by chance
    swapped = improvements({"QMIX": others, "Qatten": np.array([[0.7]])})
    assert swapped["Qatten", "QMIX"] == (3.5 / 4, pytest.approx(2 * 2 / 5), pytest.approx(2 / 5))


def test_the_order_of_like_evaluations_breaks_no_tie():
    ours, theirs = np.mean([0.1, 0.2, 0.3]), np.mean([0.3, 0.2, 0.1])
    assert ours != theirs
    found = improvements({"Qatten": np.array([[ours]]), "QMIX": np.array([[theirs]])})
    assert found["Qatten", "QMIX"].probability == 0.5
