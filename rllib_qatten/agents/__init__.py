"""How one agent turns its history into utilities: plain torch, no Ray."""

from rllib_qatten.agents.acting import ActingNetwork
from rllib_qatten.agents.inputs import InputLayout
from rllib_qatten.agents.packed_gru import packed_gru, packed_gru_steps
from rllib_qatten.agents.recurrent import RecurrentAgent, unroll

__all__ = [
    "ActingNetwork",
    "InputLayout",
    "RecurrentAgent",
    "packed_gru",
    "packed_gru_steps",
    "unroll",
]
