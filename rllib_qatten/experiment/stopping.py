"""When training ends: at a criterion, or when the user asks with Ctrl-C."""

from __future__ import annotations

import contextlib
import math
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

    def __init__(self, criteria: dict[str, float], sweep: bool = False) -> None:
        """Sets what stops a trial.

        Args:
            criteria: Result key -> value; the first that is reached or exceeded stops.
            sweep: Whether there are several trials. On request these end unfinished, each with a
                checkpoint, so that the sweep can be restored as it was.
        """
        self.criteria = criteria
        self.requested = False
        self._sweep = sweep
        # Trials that were running at the request finish their iteration, the others never start.
        self._finishing: set[str] | None = None
        self._saved: set[str] = set()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether this trial ends with this result."""
        flat = flatten_dict(result)
        reached = any(flat.get(key, -math.inf) >= goal for key, goal in self.criteria.items())
        return reached or (self.requested and not self._sweep)

    def stop_all(self) -> bool:
        """Whether the experiment ends at once, without another checkpoint."""
        return self._all_finished() and not self._sweep

    def look(self, trials: list[Trial]) -> None:
        """Takes note of which trials run; called between any two events."""
        if self.requested:
            running = {trial.trial_id for trial in trials if trial.status == Trial.RUNNING}
            self._finishing = running & (running if self._finishing is None else self._finishing)
            self._finishing -= self._saved
            if self._sweep and self._all_finished():
                # Tune's own signal to write down what runs and to end.
                signal.raise_signal(signal.SIGUSR1)

    def saved(self, trial: Trial) -> None:
        """Takes note that a trial has a new checkpoint."""
        if self.requested:
            self._saved.add(trial.trial_id)

    def _all_finished(self) -> bool:
        return self.requested and self._finishing is not None and not self._finishing

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
