"""The flags in a step's answer: whether the game is over, and which agents are in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from rllib_qatten.envs.agent_ids import AgentID

#: The key for all agents in `terminateds` and `truncateds`.
ALL = "__all__"


def is_flag(value: Any) -> bool:
    """Whether it is True, False, 0 or 1, or an array of just one of these."""
    if getattr(value, "shape", None) in ((), (1,)):
        value = value.item()
    return isinstance(value, int) and value in (0, 1)


def flag(value: Any) -> bool:
    """The truth of a flag.

    Raises:
        ValueError: If it is none: the text "False" would be true.
    """
    if value is True or value is False:
        return value
    if not is_flag(value):
        raise ValueError(f"{value!r} is neither True nor False")
    return bool(value)


def lacks_all(flags: Mapping[AgentID, Any], other: Any) -> bool:
    """Whether terminateds or truncateds do not say if the game is over.

    Many envs, RLlib's examples among them, return {} where nothing is ever cut off.
    """
    return ALL not in flags and (bool(flags) or not isinstance(other, Mapping) or ALL not in other)


def game_flags(
    terminateds: Mapping[AgentID, Any], truncateds: Mapping[AgentID, Any]
) -> tuple[bool, bool]:
    """Whether a step says that the game terminated, and that it was truncated.

    Raises:
        ValueError: If it says neither yes nor no.
    """
    ended, cut = terminateds.get(ALL), truncateds.get(ALL)
    if (ended is True or ended is False) and (cut is True or cut is False):
        return ended, cut  # the common case, at every step of every game
    if lacks_all(terminateds, truncateds) or lacks_all(truncateds, terminateds):
        raise ValueError(f"no {ALL!r}")
    return flag(terminateds.get(ALL, False)), flag(truncateds.get(ALL, False))


def away_after_reset(
    agents: Collection[AgentID], observations: Mapping[AgentID, Any]
) -> set[AgentID]:
    """The agents that are not in the game after a reset: they join with an observation."""
    return {agent for agent in agents if agent not in observations}


def away_after_step(
    away: set[AgentID],
    observations: Mapping[AgentID, Any],
    terminateds: Mapping[AgentID, Any],
    truncateds: Mapping[AgentID, Any],
) -> set[AgentID]:
    """The agents that are not in the game after a step.

    An agent leaves when its own terminateds or truncateds entry is true, and is back, or joins,
    with its next observation. When the game ends, all leave; what they last saw stays.

    Args:
        away: Who was not in the game before the step.
        observations: The step's.
        terminateds: The step's.
        truncateds: The step's.

    Raises:
        ValueError: If a flag is none.
    """
    leaving = {
        agent
        for flags in (terminateds, truncateds)
        for agent, value in flags.items()
        if flag(value) and agent != ALL
    }
    if terminateds.get(ALL) or truncateds.get(ALL):
        return away | (leaving - observations.keys())
    return (away - observations.keys()) | leaving
