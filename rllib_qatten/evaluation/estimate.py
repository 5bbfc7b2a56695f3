"""One number from many games or runs, and how far it can be trusted.

An interval covers the truth 95 times in 100, give or take 2, or more often where numbers are
discrete; where so few games or runs cannot promise that, the range of what was seen takes its place
and says so.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from scipy import stats

#: The confidence level of an interval.
CONFIDENCE = 0.95
#: The level of the quantile for a trimmed mean's interval: with `CONFIDENCE`'s own, it holds the
#: truth of 4 to 20 normal or uniform numbers 90 to 94 times in 100; with this, 93 to 96 times.
TRIMMED = 0.97
#: With fewer games a mean gets no interval, and a share an exact one: Wilson's misses too often.
FEW_GAMES = 10
#: What `low` and `high` are: an interval by a method, the smallest and greatest number, or nothing.
Kind = Literal["wilson", "exact", "student", "order statistics", "bootstrap", "range", "none"]


@dataclasses.dataclass
class Estimate:
    """A mean, or a similar statistic, with its interval or range.

    Attributes:
        mean: The number itself.
        low: The lower end; NaN if nothing is known.
        high: The upper end.
        kind: What the ends are.
    """

    mean: float
    low: float = float("nan")
    high: float = float("nan")
    kind: Kind = "none"

    @classmethod
    def of_mean(cls, values: list[float], least: float = -np.inf, most: float = np.inf) -> Estimate:
        """The mean over games, with Student's interval cut off at what is possible.

        The range instead if there are few games, or if all gave the same number.

        Args:
            values: A number per game.
            least: The smallest possible number.
            most: The greatest one.
        """
        mean, low, high = student(np.asarray(values, float))
        if len(values) < FEW_GAMES or not np.isfinite(low):
            return cls.of_range(float(mean), values)
        return cls(float(mean), max(float(low), least), min(float(high), most), "student")

    @classmethod
    def of_range(cls, mean: float, values: list[float] | np.ndarray) -> Estimate:
        """A number with the smallest and greatest of the values it stands for."""
        if len(values) < 2:
            return cls(mean)
        return cls(mean, float(np.min(values)), float(np.max(values)), "range")

    @classmethod
    def of_share(cls, hits: int, tries: int) -> Estimate:
        """A share, with Wilson's interval, or Clopper and Pearson's exact one of few tries."""
        kind: Literal["wilson", "exact"] = "exact" if tries < FEW_GAMES else "wilson"
        interval = stats.binomtest(hits, tries).proportion_ci(CONFIDENCE, method=kind)
        return cls(hits / tries, float(interval.low), float(interval.high), kind)

    def cells(self, form: str) -> tuple[str, str]:
        """The number and its interval as table cells, each number in this format."""
        if self.kind == "none":
            return form.format(self.mean), "-"
        ends = f"{form.format(self.low)} .. {form.format(self.high)}"
        return form.format(self.mean), f"{ends} (range)" if self.kind == "range" else ends

    def to_dict(self) -> dict[str, float | str | None]:
        """The fields as JSON values."""
        ends = {name: or_none(getattr(self, name)) for name in ("mean", "low", "high")}
        return {**ends, "kind": self.kind}


def student(values: np.ndarray, trim: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean of [..., R] numbers and the ends of Student's interval, [...] each.

    The ends are NaN where all numbers are alike: they say nothing about the spread.

    Args:
        values: The numbers, R of each sample.
        trim: Share of numbers left out at each end, for a trimmed mean; its interval is Tukey and
            McLaughlin's (1963), from the winsorized spread, but by the quantile of 97 %: of few
            numbers that spread is too often too small.
    """
    ordered, n = np.sort(values, axis=-1), values.shape[-1]
    cut = int(trim * n)
    kept = n - 2 * cut
    mean = stats.trim_mean(ordered, trim, axis=-1)
    if kept < 2:
        nothing = np.full_like(mean, np.nan)
        return mean, nothing, nothing
    winsorized = np.clip(ordered, ordered[..., [cut]], ordered[..., [n - cut - 1]])
    error = winsorized.std(axis=-1, ddof=1) * np.sqrt(n) / kept
    # Rounding leaves a trace of spread among equal numbers.
    alike = np.isclose(ordered[..., cut], ordered[..., n - cut - 1], rtol=1e-6, atol=0)
    error = np.where(alike, np.nan, error)
    level = TRIMMED if cut else CONFIDENCE
    margin = error * stats.t.ppf((1 + level) / 2, kept - 1)
    return mean, mean - margin, mean + margin


def or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else value
