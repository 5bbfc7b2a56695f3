"""RLlib's `evaluation_parallel_to_training`, made exact."""

from __future__ import annotations

import threading
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.annotations import override

from rllib_qatten.envs import TeamSpec


def check_same_sizes(trained: TeamSpec, played: TeamSpec) -> None:
    """Evaluation may play another env, but with the same networks.

    Raises:
        ValueError: If the env's sizes differ.
    """
    [one, other] = (
        [spec.n_agents, spec.n_actions, spec.observation_size] for spec in (trained, played)
    )
    if one != other:
        raise ValueError(
            "The env of evaluation_config has [agents, actions, observation length] "
            f"{other}, that of training has {one}: one network plays both."
        )


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
        if self.eval_env_runner_group is not None:
            self._check_evaluation_env()

    def _check_evaluation_env(self) -> None:
        """See `check_same_sizes`."""
        if not {"env", "env_config"} & (self.config.evaluation_config or {}).keys():
            return  # asking remote env runners takes a while
        check_same_sizes(
            *(
                group[DEFAULT_MODULE_ID][0].spec
                for group in (self.spaces, self.eval_env_runner_group.get_spaces())
            )
        )

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
