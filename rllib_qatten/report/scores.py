"""The scores that runs are compared by, and their names everywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from rllib_qatten import keys


class Score(NamedTuple):
    """One score.

    Attributes:
        title: Its name for readers.
        form: The format of its numbers.
        limits: What is possible.
        evaluation: Columns of evaluations: this package's key, then those of other RLlib runs.
        exploring: The same for the exploring games of training.
        marl_eval: Its name in the library marl-eval.
    """

    title: str
    form: str
    limits: tuple[float, float]
    evaluation: tuple[str, ...]
    exploring: tuple[str, ...]
    marl_eval: str


SCORES = {
    "win_rate": Score(
        "win rate",
        "{:.3f}",
        (0.0, 1.0),
        (keys.GREEDY_WINS, "evaluation/win_rate"),
        (keys.WINS, "win_rate"),
        "win_rate",
    ),
    "return": Score(
        "return",
        "{:.2f}",
        (-math.inf, math.inf),
        (
            keys.GREEDY_RETURN,
            "evaluation/env_runners/episode_reward_mean",
            "evaluation/episode_reward_mean",
        ),
        (keys.RETURN, "env_runners/episode_reward_mean", "episode_reward_mean"),
        "mean_episode_return",
    ),
}


def evaluated_games(config: Mapping[str, Any], engine: object) -> str:
    """What evaluations are called: "greedy", or "evaluation" if they explore or may do so.

    Args:
        config: The run's settings.
        engine: What its results call `keys.ENGINE`; None in those of RLlib's own algorithms, which
            explore in evaluations unless told otherwise. This package's do not.
    """
    given = config.get("evaluation_config")
    explore = given.get("explore") if isinstance(given, Mapping) else None
    return "greedy" if explore is False or (explore is None and engine) else "evaluation"
