"""Agent networks: from an agent's history to its utilities. Plain torch, no Ray."""

from rllib_qatten.agents.acting import ActingNetwork
from rllib_qatten.agents.base import Agent, unroll
from rllib_qatten.agents.entities import Entities, Rows
from rllib_qatten.agents.entity import EntityAgent
from rllib_qatten.agents.feed_forward import FeedForwardAgent
from rllib_qatten.agents.grouped import GroupedAgent
from rllib_qatten.agents.inputs import EpisodeInputs, InputLayout
from rllib_qatten.agents.packed_gru import packed_gru, packed_gru_steps
from rllib_qatten.agents.recurrent import RecurrentAgent
from rllib_qatten.agents.registry import (
    AGENTS,
    SHARING,
    check_entities,
    make_agent,
    sharing_groups,
)

__all__ = [
    "AGENTS",
    "SHARING",
    "ActingNetwork",
    "Agent",
    "Entities",
    "EntityAgent",
    "EpisodeInputs",
    "FeedForwardAgent",
    "GroupedAgent",
    "InputLayout",
    "RecurrentAgent",
    "Rows",
    "check_entities",
    "make_agent",
    "packed_gru",
    "packed_gru_steps",
    "sharing_groups",
    "unroll",
]
