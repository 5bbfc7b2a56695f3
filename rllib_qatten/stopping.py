"""When training ends: at a criterion, or when the user asks with Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

from ray.tune import Stopper
from ray.tune.experiment import Trial
from ray.tune.utils import flatten_dict

STOPPING = (
    b"\nStopping after this iteration, with a checkpoint. Ctrl-C again stops at once, without.\n"
)


class Stopping(Stopper):
    """Stops a trial at its criteria, and all trials on request.

    A criterion whose key is not in a result is not met: evaluations may be rarer than results.
    """

    def __init__(self, criteria: dict[str, float]) -> None:
        """Sets what stops a trial.

        Args:
            criteria: Result key -> value; the first that is reached or exceeded stops.
        """
        self.criteria = criteria
        self.requested = False
        # Trials that were running at the request finish their iteration, the others never start.
        self._finishing: set[str] | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether this trial ends with this result."""
        flat = flatten_dict(result)
        reached = (flat.get(key, float("-inf")) >= goal for key, goal in self.criteria.items())
        return self.requested or any(reached)

    def stop_all(self) -> bool:
        """Whether the experiment ends at once, without another checkpoint."""
        return self.requested and self._finishing is not None and not self._finishing

    def look(self, trials: list[Trial]) -> None:
        """Takes note of which trials run; called between any two events."""
        if self.requested:
            running = {trial.trial_id for trial in trials if trial.status == Trial.RUNNING}
            self._finishing = running & (running if self._finishing is None else self._finishing)

    @contextlib.contextmanager
    def on_ctrl_c(self) -> Iterator[None]:
        """Within, the first Ctrl-C is a request to stop and the second a `KeyboardInterrupt`."""

        def request(signum: int, frame: Any) -> None:
            if self.requested:
                raise KeyboardInterrupt
            self.requested = True
            # A print may not interrupt another one, a write may.
            os.write(2, STOPPING)

        before = signal.signal(signal.SIGINT, request)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
