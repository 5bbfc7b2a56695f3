"""What RLlib's older episodes, or its episodes of single agents, had: what to use instead."""

from __future__ import annotations

from typing import NoReturn

#: Of a `MultiAgentEpisode` in callbacks, which RLlib's new one lacks as well.
OLD_NAMES = {
    "custom_metrics": "log them: metrics_logger.log_value(name, value)",
    "hist_data": 'log it: metrics_logger.log_value(name, value, reduce="item_series")',
    "media": 'log it: metrics_logger.log_value(name, value, reduce="item_series")',
    "user_data": "keep it in custom_data",
    "add_temporary_timestep_data": "keep it in custom_data",
    "get_temporary_timestep_data": "keep it in custom_data",
    "length": "len(episode)",
    "total_reward": "get_return()",
    "episode_id": "id_",
    "agent_rewards": "get_rewards() by agent",
    "last_observation_for": "get_observations(-1)[agent]",
    "last_raw_obs_for": "get_observations(-1)[agent]",
    "last_info_for": "get_infos(-1)[agent]",
    "last_action_for": "get_actions(-1)[agent]",
    "last_reward_for": "get_rewards(-1)[agent]",
    "policy_for": "module_for(agent)",
    "worker": "the callback's env_runner",
}
#: What an episode in `on_sample_end` lacks is said at once.
ARRAYS = (
    "here episodes are whole teams as arrays: observations [T+1, N, O], state, actions [T, N], "
    "rewards [T], id_ and custom_data; on_episode_end gets them by agent"
)


class OldEpisode:
    """Names what replaces an attribute of an older episode."""

    __slots__ = ()

    def __getattr__(self, name: str) -> NoReturn:
        """Called for what the episode does not have."""
        here = OLD_NAMES.get(name)
        raise AttributeError(
            f"An episode has no {name!r}" + (f": {here}." if here else "."), name=name, obj=self
        )


class OfArrays:
    """Says that an episode is of arrays, where one by agent is expected."""

    __slots__ = ()

    def __getattr__(self, name: str) -> NoReturn:
        """Called for what the episode does not have."""
        message = f"An episode of a team has no {name!r}: {ARRAYS}."
        raise AttributeError(message, name=name, obj=self)
