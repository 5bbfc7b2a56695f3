"""RLlib's `custom_evaluation_function`, with all of its results kept."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import tree
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger
from ray.rllib.utils.metrics.stats import ItemStats
from ray.rllib.utils.metrics.stats.base import StatsBase

from rllib_qatten.keys import ENV_RUNNERS, EVALUATION


class CustomEvaluation(Algorithm):
    """Reports what the user's function aggregates, logs or returns.

    RLlib itself reports only what was aggregated, drops what is returned, and fails on what was
    logged.
    """

    #: How often the function has run, and what it reported last.
    _custom_evaluations = 0
    _custom_result: dict[str, Any] = {}  # noqa: RUF012 (replaced, never changed)

    @override(Algorithm)
    def _evaluate_with_custom_eval_function(self) -> tuple[dict[str, Any], int, int]:
        """See base class.

        Raises:
            ValueError: If the function does not return what RLlib expects.
        """
        for path, stats in self._reported():
            if isinstance(stats, ItemStats):  # of the last evaluation
                self.metrics.delete(*path)
        returned = self.config.custom_evaluation_function(self, self.eval_env_runner_group)
        kinds = (dict, Integral, Integral)  # a sum of NumPy's is one
        if not (
            isinstance(returned, tuple)
            and len(returned) == len(kinds)
            and all(isinstance(part, kind) for part, kind in zip(returned, kinds, strict=True))
        ):
            raise ValueError(
                "custom_evaluation_function must return a dict of results and two whole numbers, "
                f"the env steps and the agent steps played; got {returned!r}."
            )
        for path, stats in self._reported():
            if stats.is_leaf and not isinstance(stats, ItemStats):
                self._report(path, stats.peek())
        result = MetricsLogger.peek_results(returned[0])
        result = {ENV_RUNNERS: result} if ENV_RUNNERS not in result else result
        for path, value in _leaves(result):
            if (EVALUATION, *path) not in self.metrics:
                self._report((EVALUATION, *path), value)
        self._custom_evaluations += 1
        self._custom_result = self.metrics.peek(EVALUATION, default={})
        return returned

    def _reported(self) -> list[tuple[tuple[str, ...], StatsBase]]:
        """What is reported about evaluations: key and statistics."""
        below: dict[str, Any] = self.metrics.stats.get(EVALUATION, {})
        return [((EVALUATION, *path), stats) for path, stats in tree.flatten_with_path(below)]

    def _report(self, key: tuple[str, ...], value: Any) -> None:
        """Reports a value of this evaluation alone."""
        self.metrics.delete(*key, key_error=False)
        self.metrics.log_value(key, value, reduce="item")

    def _no_custom_evaluation(self) -> dict[str, Any]:
        """Results of an iteration without one: the last one's keys, which CSV files need."""
        nothing: dict[str, Any] = tree.map_structure(lambda _: float("nan"), self._custom_result)
        return nothing or {ENV_RUNNERS: {}}


def _leaves(result: dict[Any, Any], *above: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Key and value of everything in a dict of dicts; a list is a value."""
    for key, value in result.items():
        if isinstance(value, dict):
            yield from _leaves(value, *above, key)
        else:
            yield (*above, key), value
