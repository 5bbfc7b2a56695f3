"""What runs are compared by, and what each score is called everywhere."""

from __future__ import annotations

from typing import NamedTuple

from rllib_qatten import keys


class Score(NamedTuple):
    """One score.

    Attributes:
        title: What readers know it as.
        form: How a number of it is written.
        greedy: Columns of greedy games, our promised key first, then what other RLlib runs have.
        exploring: The same of exploring games.
        marl_eval: The library marl-eval's name for it.
    """

    title: str
    form: str
    greedy: tuple[str, ...]
    exploring: tuple[str, ...]
    marl_eval: str


SCORES = {
    "win_rate": Score(
        "win rate",
        "{:.3f}",
        (keys.GREEDY_WINS, "evaluation/win_rate"),
        (keys.WINS, "win_rate"),
        "win_rate",
    ),
    "return": Score(
        "return",
        "{:.2f}",
        (
            keys.GREEDY_RETURN,
            "evaluation/env_runners/episode_reward_mean",
            "evaluation/episode_reward_mean",
        ),
        (keys.RETURN, "env_runners/episode_reward_mean", "episode_reward_mean"),
        "mean_episode_return",
    ),
}
