"""The exact mean over all games of all env runners."""

from __future__ import annotations

from typing import Any

import numpy as np
from ray.rllib.utils.metrics.stats import ItemSeriesStats


class PooledMean(ItemSeriesStats):
    """A mean that keeps its items until the end.

    RLlib's own mean averages the runners' means, which is not the win rate if one runner finished
    more games than another.
    """

    stats_cls_identifier = "pooled_mean"

    def reduce(self, compile: bool = True) -> Any:
        """The mean if compiled, otherwise the stats with all items."""
        reduced = super().reduce(compile)
        return _mean(reduced) if compile else reduced

    def peek(self, compile: bool = True, latest_merged_only: bool = False) -> Any:
        """The mean if compiled, otherwise the items."""
        items = super().peek(compile=False, latest_merged_only=latest_merged_only)
        return _mean(items) if compile else items


def _mean(items: list[float]) -> float:
    return float(np.mean(items)) if len(items) else float("nan")
