"""One number from many games or runs, with its 95 % confidence interval."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import stats

#: The confidence level of an interval.
CONFIDENCE = 0.95


@dataclasses.dataclass
class Estimate:
    """A mean, or a similar statistic, with its interval; NaN where too little is known.

    Attributes:
        mean: The number itself.
        low: The interval's lower end.
        high: The interval's upper end.
    """

    mean: float
    low: float = float("nan")
    high: float = float("nan")

    @classmethod
    def of_mean(cls, values: list[float]) -> Estimate:
        """The mean of values, with Student's interval."""
        mean, error = float(np.mean(values)), float("nan")
        if len(values) > 1:
            error = float(stats.sem(values))
        margin = error * float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
        return cls(mean, mean - margin, mean + margin)

    @classmethod
    def of_share(cls, hits: int, tries: int) -> Estimate:
        """A share, with Wilson's interval."""
        interval = stats.binomtest(hits, tries).proportion_ci(CONFIDENCE, method="wilson")
        return cls(hits / tries, float(interval.low), float(interval.high))

    def cells(self, form: str) -> tuple[str, str]:
        """The number and its interval as table cells, each number in this format."""
        if not np.isfinite(self.low):
            return form.format(self.mean), "-"
        return form.format(self.mean), f"{form.format(self.low)} .. {form.format(self.high)}"

    def to_dict(self) -> dict[str, float | None]:
        """The fields as JSON values."""
        return {name: or_none(value) for name, value in dataclasses.asdict(self).items()}


def or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else value
