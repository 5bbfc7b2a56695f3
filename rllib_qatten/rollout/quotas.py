"""An exact number of games, played in lockstep without favoring short ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rllib_qatten.envs.team import TeamStep
from rllib_qatten.rollout.episode import TeamEpisode


def play_shares(
    play: Callable[[int, np.ndarray], tuple[TeamStep, list[TeamEpisode]]],
    num_games: int,
    num_episodes: int,
) -> tuple[int, list[TeamEpisode]]:
    """Each of the games in lockstep plays its share; what it plays beyond that does not count.

    A game that the engine dropped does not count either: its slot plays another.

    Args:
        play: Plays one step of all games, given the env steps so far and [G], how many games of
            each slot are wanted yet; returns it with the episodes that ended, in the order of the
            games.
        num_games: G.
        num_episodes: How many episodes are wanted.

    Returns:
        The env steps that count, and the episodes.
    """
    left = np.array([len(range(slot, num_episodes, num_games)) for slot in range(num_games)])
    episodes: list[TeamEpisode] = []
    steps = 0
    while left.any():
        step, ended = play(steps, left)
        counts = (left > 0) & ~step.dropped
        steps += int(counts.sum())
        slots = np.flatnonzero(step.done)
        episodes += [e for e, slot in zip(ended, slots, strict=True) if counts[slot]]
        left -= counts & step.done
    return steps, episodes
