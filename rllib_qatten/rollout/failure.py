"""What goes wrong in a remote env runner, on its way to where training can stop for it."""

from __future__ import annotations

import pickle
import time
import traceback
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.callbacks.callbacks import RLlibCallback

from rllib_qatten import keys
from rllib_qatten.errors import EngineFailed

#: Times `sample_timeout_s` without a game after which no env runner is waited for.
PATIENCE = 3.0


class Failure:
    """Why a remote env runner cannot play, in the place of its episodes.

    What it raised, RLlib would only log, and start the runner again for ever.

    Args:
        error: What was raised.
        worker_index: The runner's.

    Attributes:
        error: The same, or its words if it cannot leave its process.
    """

    def __init__(self, error: Exception, worker_index: int) -> None:
        """See class."""
        words = "".join(traceback.format_exception(error))
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # an error of the user's own class
            error = EngineFailed(f"{type(error).__name__}: {error}")
        error.add_note(f"In env runner {worker_index}:\n{words}")
        self.error = error

    def env_steps(self) -> int:
        """None were played; RLlib asks what it takes for an episode."""
        return 0

    def agent_steps(self) -> int:
        """None, too."""
        return 0


class StopsForEvaluation(RLlibCallback):
    """Raises what an evaluation's remote env runners raised; RLlib takes their metrics alone."""

    def on_evaluate_end(
        self, *, algorithm: Algorithm, evaluation_metrics: dict[str, Any], **kwargs: Any
    ) -> None:
        """Looks into the metrics, and asks the runners only if one has failed."""
        if evaluation_metrics.get(keys.ENV_RUNNERS, {}).get(keys.ENV_RUNNERS_FAILED):
            group = algorithm.eval_env_runner_group
            for failure in group.foreach_env_runner(lambda runner: runner.failure):
                if failure is not None:
                    raise failure.error


class Silence:
    """Ends training when no env runner has brought a game for too long.

    RLlib goes on asking, without a word, when all runners hang or are gone for good.

    Args:
        sample_timeout_s: Seconds that a round waits for runners; None waits for ever.
    """

    def __init__(self, sample_timeout_s: float | None) -> None:
        """See class."""
        self._timeout_s = sample_timeout_s
        self._since: float | None = None

    def heard(self, anything: bool, healthy: int) -> None:
        """Takes the outcome of a round.

        Args:
            anything: Whether any env runner answered.
            healthy: How many RLlib takes for alive.

        Raises:
            EngineFailed: After `PATIENCE` times the timeout without an answer.
        """
        now = time.monotonic()
        if anything:
            self._since = None
        elif self._since is None:
            self._since = now
        elif self._timeout_s and now - self._since >= PATIENCE * self._timeout_s:
            raise EngineFailed(
                f"No env runner has brought a game for {now - self._since:.0f} s; {healthy} of "
                "them are alive. If a round of games takes longer than sample_timeout_s: "
                f"{self._timeout_s:g}, raise it; else see above why they ended or hang "
                "(max_num_env_runner_restarts says how often each is started anew)."
            )
