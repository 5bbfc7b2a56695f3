"""Intervals of games: right by an independent computation, and how often they cover the truth."""

import math

import numpy as np
import pytest
import scipy.stats

from rllib_qatten.evaluation.estimate import FEW_GAMES, Estimate, student

GAMES = (3, 5, 10, 30)
WIN_RATES = (0.02, 0.5, 0.98)


@pytest.mark.parametrize("games", GAMES)
@pytest.mark.parametrize("rate", WIN_RATES)
def test_a_win_rates_interval_covers_it(games, rate):
    """Exactly, by the probability of every number of wins. Few games can only be covered better."""
    covered = 0.0
    for wins in range(games + 1):
        found = Estimate.of_share(wins, games)
        assert found.kind == ("exact" if games < FEW_GAMES else "wilson")
        assert 0 <= found.low <= found.mean <= found.high <= 1
        if found.low <= rate <= found.high:
            covered += math.comb(games, wins) * rate**wins * (1 - rate) ** (games - wins)
    assert covered >= 0.93


@pytest.mark.parametrize("rate", WIN_RATES)
def test_means_of_ten_games_are_covered_within_two_percent(rate):
    """Won battles are shorter than lost ones, and pay more."""
    g, limit, samples = np.random.default_rng(0), 60, 1000
    won = g.random((samples, 10)) < rate
    lengths = np.where(won, g.normal(20, 5, won.shape), g.normal(35, 8, won.shape)).clip(1, limit)
    returns = np.where(won, 20.0, g.uniform(0, 15, won.shape))
    truths = rate * 20 + (1 - rate) * 35, rate * 20 + (1 - rate) * 7.5
    for values, truth in zip((lengths, returns), truths, strict=True):
        found = [Estimate.of_mean(list(games), 1, limit) for games in values]
        assert {e.kind for e in found} <= {"student", "range"}  # of games that were all won
        covered = np.mean([e.low <= truth <= e.high for e in found if e.kind == "student"])
        assert covered == pytest.approx(0.95, abs=0.02) or (rate == 0.98 and covered > 0.85)


def test_no_interval_leaves_what_is_possible():
    found = Estimate.of_mean([1.0] * 9 + [60.0], least=1, most=60)
    assert (found.low, found.kind) == (1, "student")
    assert found.high == pytest.approx(6.9 + 2.262157 * 5.9, rel=1e-6)
    assert Estimate.of_mean([58.0] * 9 + [60.0], least=1, most=58.5).high == 58.5


@pytest.mark.parametrize("values", [[12.0, 31.0, 20.0], [7.0] * 20, [20.0, 20.0 + 4e-6] * 10])
def test_few_games_or_games_all_alike_have_a_range(values):
    found = Estimate.of_mean(values)
    assert (found.mean, found.kind) == (np.mean(values), "range")
    assert (found.low, found.high) == (min(values), max(values))
    assert found.cells("{:.1f}")[1].endswith("(range)")
    assert Estimate.of_mean([3.0]).cells("{:.1f}") == ("3.0", "-")


def test_a_trimmed_means_interval_is_scipys_where_a_quarter_is_whole():
    values = np.random.default_rng(1).normal(size=(5, 8))
    mean, low, high = student(values, 0.25)
    for row, *found in zip(values, mean, low, high, strict=True):
        limits = scipy.stats.mstats.trimmed_mean_ci(row, (0.25, 0.25), alpha=0.03)
        np.testing.assert_allclose(found, [scipy.stats.trim_mean(row, 0.25), *limits])
    plain = student(values[:, :3], 0.25)  # of three, a quarter is none
    expected = scipy.stats.ttest_1samp(values[:, :3], 0, axis=-1).confidence_interval()
    np.testing.assert_allclose(plain[1:], expected)
    assert np.isnan(student(np.full((2, 5), 0.1))[1:]).all()
