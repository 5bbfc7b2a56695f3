"""The agents' ids and their order, which weights, checkpoints and results rely on."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, KeysView, Set
from numbers import Integral
from typing import Any

from rllib_qatten.messages import say

#: An agent's id: a string, a whole number, or a tuple of these.
AgentID = str | int | tuple


def in_order(ids: Collection[Any]) -> tuple[AgentID, ...]:
    """The ids in the order given; those of a set, which has no order of its own, sorted.

    Numbers within names sort as numbers: "a2" comes before "a10".

    Raises:
        ValueError: If one is neither a string nor a whole number nor a tuple of these.
    """
    if isinstance(ids, Set) and not isinstance(ids, KeysView):
        return tuple(sorted(map(_plain, ids), key=_by_number))
    return tuple(map(_plain, ids))


def check_same_order(
    trained: Iterable[Any], here: Iterable[Any], error: type[ValueError] = ValueError
) -> None:
    """Makes sure that weights are used for the agents they were trained for, place by place.

    Args:
        trained: The ids that the weights were trained with.
        here: The ids that they are to act for.
        error: What to raise.

    Raises:
        ValueError: If the agents are the same but their order is not. Agents with other names take
            the places in order, with a message.
    """
    trained, here = list(trained), list(here)
    if trained == here:
        return
    if len(trained) != len(here):
        return  # the shapes do not fit either, and their check says more
    if set(trained) == set(here):
        raise error(
            f"The weights were trained for the agents {trained}, in this order; here the order is "
            f"{here}. Agents would play each other's parts. Set possible_agents to the list "
            f"{trained}; a set, or RLlib's _agent_ids, has a different order in every process."
        )
    say(f"The weights were trained for the agents {trained} and now act for {here}, in this order.")


def _plain(agent: Any) -> AgentID:
    """An id in Python's own types, which compare equal to NumPy's and go into files."""
    if isinstance(agent, str):
        return str.__str__(agent)  # of an Enum, too, its value
    if isinstance(agent, Integral) and not isinstance(agent, bool):
        return int(agent)
    if isinstance(agent, tuple) and agent:
        return tuple(map(_plain, agent))
    raise ValueError(
        f"possible_agents holds {agent!r}: ids are strings, whole numbers, or tuples of these"
    )


def _by_number(agent: AgentID) -> list[Any]:
    parts: list[Any] = re.split(r"(\d+)", repr(agent))
    parts[1::2] = map(int, parts[1::2])
    return parts
