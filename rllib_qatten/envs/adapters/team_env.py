"""Any kind of environment that a team can play, as a `MultiAgentEnv`."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import turn_based_aec_to_parallel_wrapper
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.rllib.env.wrappers.group_agents_wrapper import GroupAgentsWrapper
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv, PettingZooEnv

from rllib_qatten.envs.adapters.gymnasium import GymnasiumTeam
from rllib_qatten.envs.adapters.pettingzoo import ParallelTeam
from rllib_qatten.envs.spaces import kind_of
from rllib_qatten.envs.team import TeamContractError, engine_name_of

TURN_BASED = (
    "its agents act one after the other (PettingZoo's AEC), but a team's agents all act at every "
    "step: pass a ParallelEnv, unwrapped, which most modules offer as parallel_env(); if the game "
    "allows it, pettingzoo.utils.aec_to_parallel creates one"
)


def as_team_env(env: Any) -> MultiAgentEnv:
    """Wraps PettingZoo's and gymnasium's environments; a `MultiAgentEnv` is returned as it is.

    Raises:
        TeamContractError: If no team can play it, with the reason.
    """
    if isinstance(env, ParallelPettingZooEnv):
        # RLlib's wrapper hides the state and lists the agents in the order of a set.
        return ParallelTeam(env.par_env)
    if fault := _fault(env):
        raise TeamContractError.of(env, fault)
    if isinstance(env, MultiAgentEnv):
        return env
    return ParallelTeam(env) if isinstance(env, ParallelEnv) else GymnasiumTeam(env)


def _fault(env: Any) -> str | None:
    """Why no team can play it; None if one can."""
    if isinstance(env, GroupAgentsWrapper):
        return (
            "it is grouped, by with_agent_groups: pass the env inside, "
            f"{engine_name_of(env.env)}, ungrouped; all its agents are the team"
        )
    if isinstance(env, AECEnv | turn_based_aec_to_parallel_wrapper | PettingZooEnv):
        return TURN_BASED
    if isinstance(env, MultiAgentEnv | ParallelEnv):
        return None
    if isinstance(env, type):
        return f"it is the class {env.__name__}, not an env: call it"
    if not isinstance(env, gym.Env):
        return (
            f"it is {kind_of(env)}, not a MultiAgentEnv: subclass "
            "ray.rllib.env.multi_agent_env.MultiAgentEnv or pettingzoo.ParallelEnv"
        )
    if isinstance(env.unwrapped, MultiAgentEnv):
        return (
            f"it is a MultiAgentEnv in {type(env).__name__}, a wrapper for one agent: pass the "
            "env inside"
        )
    seen, acted = (getattr(env, f"{of}_space", None) for of in ("observation", "action"))
    if isinstance(seen, gym.spaces.Tuple) and isinstance(acted, gym.spaces.Tuple):
        return None
    return (
        "it is a gymnasium environment for one agent: a team needs Tuples for "
        f"observation_space and action_space, one entry per agent; they are {seen} and {acted}. "
        "For a team of your own, subclass MultiAgentEnv"
    )
