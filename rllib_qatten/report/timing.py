"""The speed of runs, and where their time went, from RLlib's timers."""

from __future__ import annotations

import numpy as np
from ray.rllib.utils.metrics import (
    ENV_RUNNER_SAMPLING_TIMER,
    EVALUATION_ITERATION_TIMER,
    LEARNER_UPDATE_TIMER,
    NUM_TRAINING_STEP_CALLS_PER_ITERATION,
    REPLAY_BUFFER_SAMPLE_TIMER,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
)
from ray.tune.result import TIME_THIS_ITER_S

from rllib_qatten import keys
from rllib_qatten.drawing.palette import COLORS
from rllib_qatten.report.run import Run

#: Parts of the time -> color and hatch.
PARTS = {
    "playing": (COLORS[0], ""),
    "learning": (COLORS[1], "//"),
    "replay": (COLORS[2], ".."),
    "evaluation": (COLORS[3], "xx"),
    "other": ("#b0b0b0", ""),
}
#: Share of the time by part; they sum to 1.
TimeSplit = dict[str, float]


def steps_per_second(run: Run) -> float | None:
    """Env steps per second over all iterations, evaluation included."""
    seconds = run.columns.get(TIME_THIS_ITER_S)
    steps = run.columns.get(keys.STEPS)
    if seconds is None or steps is None or len(steps) < 2:
        return None
    # The first iteration compiles and warms up.
    speed = (steps[-1] - steps[0]) / np.nansum(seconds[1:])
    return float(speed) if np.isfinite(speed) else None


def alone(runs: list[Run]) -> list[bool | None]:
    """Whether none of the other runs was under way on the same machine; None if not known.

    A machine that was not recorded may be any one.
    """
    unknown = "not recorded"

    def beside(one: Run, other: Run) -> bool:
        machines = {one.about["machine"], other.about["machine"]}
        if not one.span or not other.span or (len(machines) > 1 and unknown not in machines):
            return False
        shared = min(one.span[1], other.span[1]) - max(one.span[0], other.span[0])
        return shared > 0.05 * (one.span[1] - one.span[0])

    return [
        None
        if run.span is None
        else not any(beside(run, other) for other in runs if other is not run)
        for run in runs
    ]


def time_split(run: Run) -> TimeSplit | None:
    """Where the time went; None if the results lack RLlib's timers.

    A timer is the smoothed time of one call, so the time spent is its last value times all calls.
    The first iteration is left out, since it compiles.
    """
    total = run.columns.get(TIME_THIS_ITER_S)
    rounds = run.columns.get(NUM_TRAINING_STEP_CALLS_PER_ITERATION)
    updates = run.columns.get(keys.NUM_UPDATES)
    if total is None or rounds is None or updates is None or len(total) < 2:
        return None
    n_rounds = float(np.nansum(rounds[1:]))
    n_updates = float(np.nanmax(updates) - np.nan_to_num(updates[0]))

    def spent(timer: str, calls: float) -> float:
        seconds = run.columns.get(f"{TIMERS}/{timer}", np.zeros(1))
        return float(seconds[np.isfinite(seconds)][-1]) * calls

    evaluations = np.isfinite(run.columns.get(keys.GREEDY_RETURN, np.empty(0))[1:]).sum()
    seconds = {
        "playing": spent(ENV_RUNNER_SAMPLING_TIMER, n_rounds),
        "learning": spent(LEARNER_UPDATE_TIMER, n_updates)
        + spent(SYNCH_WORKER_WEIGHTS_TIMER, n_rounds),
        "replay": spent(REPLAY_BUFFER_SAMPLE_TIMER, n_updates),
        "evaluation": spent(EVALUATION_ITERATION_TIMER, float(evaluations)),
    }
    whole = max(sum(seconds.values()), float(np.nansum(total[1:])))
    seconds["other"] = whole - sum(seconds.values())
    return {part: value / whole for part, value in seconds.items()}
