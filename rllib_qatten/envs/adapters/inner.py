"""What an env of another library declares about its team, taken over by the env around it."""

from __future__ import annotations

from typing import Any

from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.declared import attribute, saves_games

#: What a team env may declare beyond RLlib's interface and its state.
DECLARED = ("unit_features", "unit_types", "is_battle", "engine", "episode_limit", "entities")


def take_over(team: MultiAgentEnv, env: Any) -> None:
    """Gives a team env what the env inside it declares.

    Args:
        team: The env around it; what it has already stays where the inner env declares nothing.
        env: The inner env. Its own `get_state()` and `set_state()` save its games if it is in no
            wrapper, whose part of a game, such as a time limit's count, they would miss.
    """
    inner = env.unwrapped
    for name in DECLARED:
        value = attribute(inner, name)
        if value is not None and (name != "engine" or isinstance(value, str)):
            setattr(team, name, value)
    if env is inner and saves_games(env):
        team.get_state, team.set_state = env.get_state, env.set_state
