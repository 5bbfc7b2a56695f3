"""What a trial is doing right now, for the screen of the process that started it.

A trial leaves a few numbers in Ray's internal key-value store, which every process of a Ray job
reaches without another actor; a progress display reads them between two results.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import time
from typing import Any

import ray
from ray.experimental.internal_kv import (
    _internal_kv_del,
    _internal_kv_exists,
    _internal_kv_get,
    _internal_kv_put,
)
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME
from ray.tune.experiment import Trial

from rllib_qatten import keys

NAMESPACE = "rllib_qatten"
#: Seconds between two notes of what alternates all the time.
OFTEN = 0.25
STARTING, COMPILING, PLAYING, LEARNING = "starting", "compiling", "playing", "learning"
EVALUATING, SAVING = "evaluating", "saving"
#: What alternates many times a second in small games.
_BRIEF = (PLAYING, LEARNING)


class LiveAlgorithm(Algorithm):
    """Notes what it is doing, if somebody watches; costs nothing otherwise."""

    _noted = -math.inf

    @override(Algorithm)
    def setup(self, config: Any) -> None:
        """See base class."""
        self.note(STARTING)
        super().setup(config)

    @override(Algorithm)
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """See base class."""
        self.note(EVALUATING)
        return super().evaluate(*args, **kwargs)

    @override(Algorithm)
    def save(self, checkpoint_dir: str | None = None) -> Any:
        """See base class."""
        self.note(SAVING)
        return super().save(checkpoint_dir)

    def note(self, doing: str) -> None:
        """Leaves a note of what begins now, with the numbers so far."""
        now, storage = time.monotonic(), self._storage
        if not storage or not _watched() or (doing in _BRIEF and now - self._noted < OFTEN):
            return
        self._noted = now
        note = {"doing": doing}
        if doing != STARTING:
            note |= {
                name: self.metrics.peek((ENV_RUNNER_RESULTS, key), default=math.nan)
                for name, key in (
                    ("env_steps", NUM_ENV_STEPS_SAMPLED_LIFETIME),
                    ("win_rate", keys.WIN_RATE),
                    ("return", keys.EPISODE_RETURN_MEAN),
                )
            }
        with contextlib.suppress(Exception):  # a display must not stop a run
            _internal_kv_put(_key(storage.trial_dir_name), json.dumps(note, default=float), **_IN)


_IN: dict[str, Any] = {"namespace": NAMESPACE}


def watch() -> None:
    """Asks the trials of this Ray job, which are still to start, for notes."""
    _internal_kv_put(_key(), b"1", **_IN)


def unwatch() -> None:
    """Removes the job's notes, which would stay on a cluster."""
    with contextlib.suppress(Exception):  # Ray may be gone
        _internal_kv_del(_key(), del_by_prefix=True, **_IN)


def latest(trial: Trial) -> dict[str, Any]:
    """A trial's latest note; empty if there is none."""
    with contextlib.suppress(Exception):  # Ray may be gone
        if text := _internal_kv_get(_key(trial.storage.trial_dir_name), **_IN):
            note = json.loads(text)
            # Before its first game, a mean is NaN.
            return {k: v for k, v in note.items() if v == v}
    return {}


@functools.cache
def _watched() -> bool:
    with contextlib.suppress(Exception):  # as above
        return ray.is_initialized() and bool(_internal_kv_exists(_key(), **_IN))
    return False


def _key(folder: str = "") -> str:
    # An algorithm of RLlib's does not learn its trial's id, only its folder.
    return f"{ray.get_runtime_context().get_job_id()}/{folder}"
