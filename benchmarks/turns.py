"""Measuring by short turns: contenders alternate, so that a slow moment of the machine hits all."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

#: Does some work and returns how much of it, in units of the contender's own choosing.
Work = Callable[[], float]


@dataclass(frozen=True)
class Turn:
    """One contender's turn.

    Attributes:
        units: Work done.
        wall: Seconds that passed.
        cpu: Seconds of CPU time this process used, all its threads together.
    """

    units: float
    wall: float
    cpu: float


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of several numbers."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """The spread of at least one number."""
        return cls(statistics.median(numbers), min(numbers), max(numbers))

    def text(self, digits: int = 1) -> str:
        """For the table: "median [low..high]", or the number alone if all are one."""
        numbers = [f"{x:,.{digits}f}" for x in (self.median, self.low, self.high)]
        return numbers[0] if self.low == self.high else "{} [{}..{}]".format(*numbers)

    def times(self, factor: float) -> Spread:
        """The same in another unit."""
        return Spread(factor * self.median, factor * self.low, factor * self.high)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        part: Which benchmark.
        name: What was measured.
        unit: Of `value`.
        value: The measurement, a single number if it was taken once; None if there is none.
        ratio: How many times faster than `against`, or a share of it.
        against: What `ratio` compares with.
        goal: What the ratio's median should at least be.
        good: What would be good.
        note: Why there is no value, or what else to know.
    """

    part: str
    name: str
    unit: str
    value: Spread | None
    ratio: Spread | None = None
    against: str = ""
    goal: float | None = None
    good: float | None = None
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def take_turns(contenders: dict[str, Work], rounds: int, seconds: float) -> dict[str, list[Turn]]:
    """Lets contenders work in turns, after one turn each to warm up.

    Args:
        contenders: By name.
        rounds: Counted turns of each.
        seconds: Shortest turn; a turn ends with the piece of work that passes it.
    """
    taken: dict[str, list[Turn]] = {name: [] for name in contenders}
    gc.collect()
    gc.freeze()  # turns pay for collecting their own garbage, not for walking all of RLlib
    for _ in range(rounds + 1):
        for name, work in contenders.items():
            units, cpu, wall = 0.0, time.process_time(), time.perf_counter()
            while time.perf_counter() - wall < seconds or not units:
                units += work()
            now = time.perf_counter() - wall, time.process_time() - cpu
            taken[name].append(Turn(units, *now))
    gc.unfreeze()
    return {name: turns[1:] for name, turns in taken.items()}


def rates(turns: Sequence[Turn], clock: str = "cpu") -> list[float]:
    """Units per second of each turn, by "cpu" or "wall" time."""
    return [turn.units / getattr(turn, clock) for turn in turns]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """The spread of the quotients of turns of the same round."""
    return Spread.of([a / b for a, b in zip(ours, theirs, strict=True)])
