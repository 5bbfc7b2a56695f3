"""With how much effort something is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """How long is measured.

    Attributes:
        rounds: Of turns, after one to warm up.
        seconds: A turn lasts at least.
        tiny: Only show that it runs.
        quick: Less of everything.
        full_memory: The replay of a whole run, watched for 10 minutes.
    """

    rounds: int
    seconds: float
    tiny: bool
    quick: bool
    full_memory: bool

    @classmethod
    def of(cls, *, tiny: bool, quick: bool, full_memory: bool) -> Effort:
        """What the options mean."""
        rounds, seconds = (1, 0.0) if tiny else (3, 0.3) if quick else (7, 0.6)
        return cls(rounds, seconds, tiny, quick, full_memory)

    @property
    def text(self) -> str:
        """For below the table."""
        return f"{self.rounds} turns of at least {self.seconds:g} s each"
