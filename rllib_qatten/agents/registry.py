"""From plain settings to the agent networks of a team."""

from collections.abc import Sequence
from typing import Any

from rllib_qatten.agents.base import Agent
from rllib_qatten.agents.entities import Entities
from rllib_qatten.agents.entity import EntityAgent
from rllib_qatten.agents.feed_forward import FeedForwardAgent
from rllib_qatten.agents.grouped import GroupedAgent
from rllib_qatten.agents.orthogonal import orthogonal_init_
from rllib_qatten.agents.recurrent import RecurrentAgent
from rllib_qatten.errors import one_of

#: The kinds of agent network by name.
AGENTS: dict[str, type[RecurrentAgent] | type[FeedForwardAgent] | type[EntityAgent]] = {
    "recurrent": RecurrentAgent,
    "feed_forward": FeedForwardAgent,
    "entity": EntityAgent,
}
#: Which agents of a team share a network: all, those of the same unit type, or none.
SHARING = ("all", "unit_type", "none")


def sharing_groups(sharing: str, n_agents: int, unit_types: Sequence[int] | None) -> list[int]:
    """For each agent, the index of the network that it uses.

    Args:
        sharing: One of `SHARING`.
        n_agents: N.
        unit_types: The type of each agent, or None if there are none.

    Raises:
        ValueError: For an unknown `sharing`, or if it needs unit types and there are none.
    """
    one_of(sharing, SHARING, "parameter_sharing")
    kinds = {"all": [0] * n_agents, "unit_type": unit_types, "none": range(n_agents)}[sharing]
    if kinds is None:
        raise ValueError(
            "parameter_sharing 'unit_type' needs the unit type of each agent, but this team "
            "declares none that stays the same in every game: give the env an attribute "
            "unit_types, a whole number per agent, or use 'all' or 'none'."
        )
    networks = sorted(set(kinds))
    return [networks.index(kind) for kind in kinds]


def check_entities(kind: str, entities: Any) -> None:
    """Refuses an agent that needs to know how observations are made where nobody says so.

    Args:
        kind: One of `AGENTS`.
        entities: How they are made, or None.

    Raises:
        ValueError: If it is unknown, or refused.
    """
    if AGENTS[one_of(kind, AGENTS, "agent")].needs_entities and entities is None:
        raise ValueError(
            f"agent: {kind} sees units as a set, and this env does not say which part of an "
            'observation is whose: give it an attribute entities (see "Your own environment" in '
            "the docs), or use agent: recurrent."
        )


def make_agent(
    input_size: int,
    n_actions: int,
    n_agents: int,
    *,
    unit_types: Sequence[int] | None = None,
    entities: Any = None,
    kind: str = "recurrent",
    sharing: str = "all",
    hidden_size: int = 64,
    layer_norm: bool = False,
    orthogonal_init: bool = False,
) -> Agent:
    """Builds the agent networks of a team; each network has its own initial weights.

    Args:
        input_size: I.
        n_actions: A.
        n_agents: N.
        unit_types: [N], the type of each agent, where it is the same in every game.
        entities: How an observation is made of units, see `Entities`, for an agent that needs it.
        kind: One of `AGENTS`.
        sharing: One of `SHARING`.
        hidden_size: h.
        layer_norm: Whether hidden layers are normalized before their ReLU.
        orthogonal_init: Whether weights start orthogonal instead of with torch's defaults.

    Returns:
        A single network if all agents share it (also if all happen to be of one type), otherwise a
        `GroupedAgent`.

    Raises:
        ValueError: For an unknown kind or sharing, or if unit types or entities are needed and
            missing, or do not fit.
    """
    check_entities(kind, entities)
    network_class: Any = AGENTS[kind]
    groups = sharing_groups(sharing, n_agents, unit_types)
    networks: list[Agent] = []
    for group in range(max(groups) + 1):
        extra = {}
        if network_class.needs_entities:
            made = Entities.read(entities)
            if faults := list(made.faults(made.observation_size, n_agents, n_actions)):
                raise ValueError(f"entities: {'; '.join(faults)}")
            places = [i for i in range(n_agents) if groups[i] == group]
            extra = {"entities": made, "places": places}
        networks.append(network_class(input_size, n_actions, hidden_size, layer_norm, **extra))
    if orthogonal_init:
        for network in networks:
            orthogonal_init_(network)
    return networks[0] if len(networks) == 1 else GroupedAgent(networks, groups)
