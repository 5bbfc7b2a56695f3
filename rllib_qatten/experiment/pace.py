"""How far a trial is and when it will end, from its results and from what it notes in between."""

from __future__ import annotations

import csv
import dataclasses
import time
from collections import deque
from pathlib import Path
from typing import Any

from rllib_qatten import keys
from rllib_qatten.experiment.rows import STEPS_PER_SECOND, TIME_LEFT, Result, is_number

ITERATION, SECONDS = "training_iteration", "time_total_s"
#: Seconds over which the current speed is taken.
WINDOW = 20.0


@dataclasses.dataclass(frozen=True)
class Past:
    """How fast an earlier run of the same experiment was.

    Attributes:
        seconds: Seconds that it took, evaluations included.
        env_steps: Env steps that it played in these.
        iterations: Its iterations.
        folder: Its folder.
    """

    seconds: float
    env_steps: float
    iterations: float
    folder: Path

    def seconds_until(self, criteria: dict[str, float]) -> float | None:
        """Seconds from the start to the first criterion that grows steadily; None without one."""
        done = {keys.STEPS: self.env_steps, ITERATION: self.iterations, SECONDS: self.seconds}
        needed = [
            goal * self.seconds / done[key] for key, goal in criteria.items() if done.get(key)
        ]
        return min(needed, default=None)


def last_run(folder: Path | str) -> Past | None:
    """The newest trial in an experiment's folder that has results; None if there is none."""
    files = Path(folder).glob("*/progress.csv") if isinstance(folder, Path) else ()
    for file in sorted(files, key=lambda f: f.stat().st_mtime, reverse=True):
        try:
            with file.open(newline="") as opened:
                rows = list(csv.DictReader(opened))
            seconds, steps, iterations = (
                float(rows[-1][key]) for key in (SECONDS, keys.STEPS, ITERATION)
            )
        except (OSError, ValueError, KeyError, IndexError):
            continue  # written by something else, or cut short
        if min(seconds, steps, iterations) > 0:
            return Past(seconds, steps, iterations, file.parent)
    return None


class Pace:
    """One trial's progress toward its stop criteria.

    Args:
        criteria: Result key -> value that stops the trial.
        past: An earlier run, for the first estimate.
    """

    def __init__(self, criteria: dict[str, float], past: Past | None = None) -> None:
        """See class."""
        self._criteria = criteria
        self._past = past
        self._born = time.monotonic()
        self._now: dict[str, float] = {}
        self._row: Result | None = None
        self._row_at = 0.0
        self._first: tuple[float, dict[str, float]] | None = None
        self._samples: deque[tuple[float, float]] = deque()
        self.score = ""

    def row(self, flat: Result) -> None:
        """Takes a result, and adds its speed and the time left to it."""
        now, previous = time.monotonic(), self._row or {}
        # Another trial's checkpoint may move it forward or back.
        if flat[ITERATION] == previous.get(ITERATION, 0) + 1:
            steps = flat.get(keys.STEPS, 0) - previous.get(keys.STEPS, 0)
            flat[STEPS_PER_SECOND] = steps / max(flat["time_this_iter_s"], 1e-9)
        values = {k: flat[k] for k in self._growing() if is_number(flat.get(k))}
        if self._row is None:  # what came before it may have been another process's
            self._first = (flat[SECONDS], values)
        first_seconds, first = self._first or (flat[SECONDS], values)
        passed, left = flat[SECONDS] - first_seconds, []
        for key, value in values.items():
            if passed and (speed := (value - first.get(key, 0)) / passed) > 0:
                left.append(max(0.0, self._criteria[key] - value) / speed)
        if left:
            flat[TIME_LEFT] = min(left)
        self._row, self._row_at, self._now = flat, now, values

    def note(self, note: dict[str, Any]) -> None:
        """Takes what a trial notes between two results."""
        now = time.monotonic()
        if (steps := note.get("env_steps")) is not None:
            if not self._samples or steps > self._samples[-1][1]:
                self._samples.append((now, steps))
            while now - self._samples[0][0] > WINDOW and len(self._samples) > 2:
                self._samples.popleft()
            if keys.STEPS in self._criteria:
                self._now[keys.STEPS] = max(steps, self._now.get(keys.STEPS, 0))
        if "win_rate" in note:
            self.score = f"{note['win_rate']:.1%} won"
        elif "return" in note:
            self.score = f"return {note['return']:.2f}"

    @property
    def env_steps(self) -> float:
        """Env steps so far."""
        row = self._row or {}
        return max(row.get(keys.STEPS, 0), self._samples[-1][1] if self._samples else 0)

    @property
    def speed(self) -> float | None:
        """Env steps per second while games were played lately."""
        (began, before), (ended, after) = (
            (self._samples[0], self._samples[-1]) if self._samples else ((0.0, 0.0), (0.0, 0.0))
        )
        return (after - before) / (ended - began) if ended > began else None

    @property
    def share(self) -> float | None:
        """How much is done, by the criterion that is nearest; None if none grows steadily."""
        shares = [
            self._value(key) / goal for key, goal in self._criteria.items()
            if goal > 0 and key in self._growing()
        ]  # fmt: skip
        return min(1.0, max(shares)) if shares else None

    @property
    def left(self) -> float | None:
        """Seconds to the nearest criterion; None as long as nothing is known."""
        now, row = time.monotonic(), self._row or {}
        speed, left = self.speed, []
        if speed and keys.STEPS in self._criteria:
            left.append((self._criteria[keys.STEPS] - self.env_steps) / speed)
        if TIME_LEFT in row:
            # The whole run's mean; where games have become slower, the speed of now tells more.
            return max(0.0, row[TIME_LEFT] - (now - self._row_at), *left)
        if SECONDS in self._criteria:
            left.append(self._criteria[SECONDS] - self._value(SECONDS))
        # Its own speed, once it has one, lacks evaluations: the past knows them.
        if self._past and (whole := self._past.seconds_until(self._criteria)) is not None:
            done = self.share or 0.0
            left = [whole * (1 - done)]
        return max(0.0, min(left)) if left else None

    def _growing(self) -> list[str]:
        """Only steady growth can be extrapolated."""
        return [key for key in self._criteria
                if "lifetime" in key or "iteration" in key or key.startswith("time_")]  # fmt: skip

    def _value(self, key: str) -> float:
        if key == SECONDS:
            return (
                (self._row or {}).get(SECONDS, 0.0)
                + time.monotonic()
                - (self._row_at or self._born)
            )
        return self._now.get(key, 0.0)
