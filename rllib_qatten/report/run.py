"""One trial as a report sees it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from rllib_qatten import keys
from rllib_qatten.messages import printable


@dataclasses.dataclass
class Run:
    """One trial. All text is safe to display; all numbers are finite and of bounded size.

    Attributes:
        folder: Where its files are.
        algorithm: Its name.
        label: The algorithm, and what distinguishes it from its variants.
        environment: The engine or environment, with its version if known.
        task: Map or other game, with what sets it apart from others of that name.
        config: The trial's settings.
        about: What is known of how it was made: "date", "commit", "versions", "machine" and
            "command".
        steps: Env steps at each evaluation, never falling, [E].
        scores: Name of `SCORES` ("win_rate" in battles only) -> one number per evaluation, [E].
        games: What was scored: "greedy" games, an "evaluation" that explored or may have, or the
            "exploring" games of training.
        columns: Every numeric column -> one number per result, NaN if it has none, [R].
        span: When it began and ended, in seconds since 1970; None if that is not known.
        explained: Its task or label, if it can't say all that sets it apart -> these settings.
    """

    folder: Path
    algorithm: str
    label: str
    environment: str
    task: str
    config: dict[str, Any]
    about: dict[str, str]
    steps: np.ndarray
    scores: dict[str, np.ndarray]
    games: str
    columns: dict[str, np.ndarray]
    span: tuple[float, float] | None = None
    explained: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """How readers identify it: its seed, or else its folder."""
        seed = self.config.get("seed")
        return printable(self.folder.name if seed is None else f"seed {seed}", 100)

    def final(self, score: str) -> float:
        """Mean of the last five evaluations; NaN if the score was not measured."""
        values = self.scores.get(score)
        return float("nan") if values is None else float(np.mean(values[-keys.LAST :]))
