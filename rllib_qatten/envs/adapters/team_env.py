"""Whatever kind of environment a team plays, as a `MultiAgentEnv`."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import turn_based_aec_to_parallel_wrapper
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.adapters.gymnasium import GymnasiumTeam
from rllib_qatten.envs.adapters.pettingzoo import ParallelTeam
from rllib_qatten.envs.team import TeamContractError

TURN_BASED = (
    "its agents act one after the other (PettingZoo's AEC), but a team's agents all act at every "
    "step: name a ParallelEnv; if the game allows it, pettingzoo.utils.aec_to_parallel makes one"
)


def as_team_env(env: Any) -> MultiAgentEnv:
    """Wraps PettingZoo's and gymnasium's environments; a `MultiAgentEnv` stays what it is.

    Raises:
        TeamContractError: If no team can play it, with the reason.
    """
    if isinstance(env, MultiAgentEnv):
        return env
    if isinstance(env, AECEnv | turn_based_aec_to_parallel_wrapper):
        raise TeamContractError.of(env, TURN_BASED)
    if isinstance(env, ParallelEnv):
        return ParallelTeam(env)
    if isinstance(env, gym.Env):
        seen, acted = (getattr(env, f"{of}_space", None) for of in ("observation", "action"))
        if not isinstance(seen, gym.spaces.Tuple) or not isinstance(acted, gym.spaces.Tuple):
            raise TeamContractError.of(
                env,
                "it is a gymnasium environment for one agent: for a team its observation_space and "
                f"action_space are Tuples, one entry an agent; they are {seen} and {acted}. A team "
                "of your own is best a MultiAgentEnv: subclass it",
            )
        return GymnasiumTeam(env)
    raise TeamContractError.of(
        env,
        f"it is a {type(env).__name__}, not a MultiAgentEnv: subclass "
        "ray.rllib.env.multi_agent_env.MultiAgentEnv or pettingzoo.ParallelEnv",
    )
