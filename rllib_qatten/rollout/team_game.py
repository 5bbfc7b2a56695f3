"""One game as RLlib's callbacks know episodes: a `MultiAgentEpisode` that is put together late."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

from rllib_qatten.envs.team import COMMON
from rllib_qatten.rollout.old_episode import OldEpisode

#: Two parts of what an env answered, or a function that makes them.
Result = tuple[Any, Any] | Callable[[], tuple[Any, Any]]


def _policy_of(agent_id: Any, episode: Any, **kwargs: Any) -> str:
    """All agents are of one policy, the team's."""
    return DEFAULT_MODULE_ID


def _joined(name: str) -> Any:
    """An attribute of RLlib's episode that is there once the steps so far have been added."""

    def get(self: TeamGame) -> Any:
        self._join()
        return getattr(self, f"_joined_{name}")

    def set_value(self: TeamGame, value: Any) -> None:
        setattr(self, f"_joined_{name}", value)

    return property(get, set_value)


class TeamGame(OldEpisode, MultiAgentEpisode):
    """A game under way, or ended, with all that RLlib's episodes offer.

    RLlib's per-agent episodes cost several times what a step of a fast game does, and most
    callbacks ask for the return alone: steps are kept as they came and added when somebody looks.
    Unlike RLlib's, an agent that left stays so in `agent_episodes` even if the env brings it back,
    and `get_return()` is the team's.

    Attributes:
        common_infos: The infos of the last step (or reset) that concern the whole team.
    """

    agent_episodes = _joined("agent_episodes")
    env_t_to_agent_t = _joined("env_t_to_agent_t")
    env_t = _joined("env_t")
    is_terminated = _joined("is_terminated")
    is_truncated = _joined("is_truncated")

    def __init__(self) -> None:
        """See class."""
        self._waiting: list[tuple[Any, ...]] = []
        self._steps = 0
        self._team_return = 0.0
        self._over = False
        self._began = self._ended = time.perf_counter()
        self.common_infos: dict[str, Any] = {}
        super().__init__(agent_to_module_mapping_fn=_policy_of)

    def begin(self, result: Result, common_infos: dict[str, Any]) -> None:
        """Takes what the reset brought: observations and infos, or what makes them."""
        self._began = self._ended = time.perf_counter()
        self.common_infos = common_infos
        self._waiting.append((result,))

    def step(
        self,
        result: Result,
        common_infos: dict[str, Any],
        reward: float,
        terminated: bool,
        truncated: bool,
    ) -> None:
        """Takes a step.

        Args:
            result: The actions, and the env's five answers to them; or what makes them.
            common_infos: See class.
            reward: The team's.
            terminated: Whether the game came to its end.
            truncated: Whether it was cut off.
        """
        self._steps += 1
        self._team_return += reward
        self._over = terminated or truncated
        self._ended = time.perf_counter()
        self.common_infos = common_infos
        self._waiting.append((result, terminated, truncated))

    def __len__(self) -> int:
        """Steps so far."""
        return self._steps

    @property
    def is_done(self) -> bool:
        """Whether the game has ended; while steps are added, whether it had by then."""
        return self._over if self._waiting else super().is_done

    def get_return(self, include_hanging_rewards: bool = False) -> float:
        """The team's undiscounted return so far; all of the rewards are in it."""
        return self._team_return

    def get_duration_s(self) -> float:
        """Seconds from the reset to the last step."""
        return self._ended - self._began

    def __getstate__(self) -> Any:
        """All of it, put together."""
        self._join()
        return super().__getstate__()

    def _join(self) -> None:
        """Adds the steps that wait, in RLlib's way."""
        waiting, self._waiting = self._waiting, []
        for result, *flags in waiting:
            first, second = result() if callable(result) else result
            if flags:
                self._add_step(first, second, *flags)
            else:
                self.add_env_reset(observations=first, infos=_of_agents(second))

    def _add_step(
        self, sent: dict[Any, int], brought: tuple[Any, ...], terminated: bool, truncated: bool
    ) -> None:
        observations, rewards, terminateds, truncateds, infos = brought
        playing = {agent for agent, e in self.agent_episodes.items() if not e.is_done}
        seen = {agent: seen for agent, seen in observations.items() if agent in playing}
        for agent in playing - seen.keys():
            # RLlib wants a last observation of whoever is cut off.
            if truncated or truncateds.get(agent):
                seen[agent] = self.agent_episodes[agent].get_observations(-1)
        left = {
            flag: {agent: of.get(agent, False) for agent in playing}
            for flag, of in (("terminateds", terminateds), ("truncateds", truncateds))
        }
        left["terminateds"]["__all__"] = terminated
        left["truncateds"]["__all__"] = truncated
        self.add_env_step(
            seen,
            {agent: action for agent, action in sent.items() if agent in playing},
            {agent: rewards.get(agent, 0.0) for agent in playing},
            {agent: info for agent, info in _of_agents(infos).items() if agent in playing},
            **left,
        )


def _of_agents(infos: dict[Any, Any] | None) -> dict[Any, Any]:
    return {agent: info for agent, info in (infos or {}).items() if agent != COMMON}
