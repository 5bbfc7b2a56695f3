"""RLlib's `evaluation_parallel_to_training`, made exact."""

from __future__ import annotations

import threading
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.utils.annotations import override


class ParallelEvaluation(Algorithm):
    """Evaluates the weights that an iteration begins with, while it trains.

    RLlib trains in a thread meanwhile, and copies the weights for the evaluation from the Learner
    no matter how far the thread has got: here the first update waits until they are copied.

    Attributes:
        may_update: Unset from the start of such an iteration until the weights are copied.
    """

    may_update: threading.Event

    @override(Algorithm)
    def setup(self, config: Any) -> None:
        """See base class."""
        self.may_update = threading.Event()
        self.may_update.set()
        # Both threads log; RLlib does the same for its own threaded algorithms.
        self.metrics._threading_lock = threading.RLock()
        super().setup(config)
        self.callbacks.append(_WeightsCopied())

    @override(Algorithm)
    def _run_one_training_iteration_and_evaluation_in_parallel(self) -> Any:
        self.may_update.clear()
        return super()._run_one_training_iteration_and_evaluation_in_parallel()

    @override(Algorithm)
    def _run_one_evaluation(self, parallel_train_future: Any = None) -> Any:
        try:
            return super()._run_one_evaluation(parallel_train_future)
        finally:
            self.may_update.set()  # a failed evaluation must not hold up training


class _WeightsCopied(RLlibCallback):
    """Called between the copy of the weights and the first game."""

    def on_evaluate_start(self, *, algorithm: ParallelEvaluation, **kwargs: Any) -> None:
        algorithm.may_update.set()
