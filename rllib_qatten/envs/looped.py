"""Any cooperative `MultiAgentEnv` as arrays, and several of them as a vector of teams."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.team import (
    ALIVE,
    BATTLE_WON,
    COMMON,
    TeamSpec,
    TeamStep,
    TeamVector,
    TeamView,
)

#: Keys of a masked observation, RLlib's own convention.
OBSERVATIONS, ACTION_MASK = "observations", "action_mask"


def split_space(space: gym.Space) -> tuple[gym.Space, bool]:
    """The part of an observation space that is the observation, and whether a mask comes along."""
    if isinstance(space, gym.spaces.Dict) and OBSERVATIONS in space.spaces:
        return space[OBSERVATIONS], ACTION_MASK in space.spaces
    return space, False


def team_spec(env: MultiAgentEnv) -> TeamSpec:
    """Reads a team's sizes from an env's spaces; `check_env` says what is wrong with them."""
    agents = tuple(env.possible_agents)
    lengths = [
        gym.spaces.flatdim(split_space(env.observation_spaces[agent])[0]) for agent in agents
    ]
    observation_size = max(lengths)
    has_state = hasattr(env, "state")
    if has_state:
        state_size = gym.spaces.flatdim(env.state_space)
    else:
        state_size = len(agents) * observation_size
    unit_types = getattr(env, "unit_types", None)
    return TeamSpec(
        agents=agents,
        n_actions=max(int(env.action_spaces[agent].n) for agent in agents),
        observation_size=observation_size,
        state_size=state_size,
        state_source="env" if has_state else "observations",
        unit_features=getattr(env, "unit_features", None),
        unit_types=None if unit_types is None else tuple(int(kind) for kind in unit_types),
        is_battle=bool(getattr(env, "is_battle", False)),
        engine=getattr(env, "engine", type(env).__name__),
        episode_limit=getattr(env, "episode_limit", None),
    )


def _env_state(env: MultiAgentEnv) -> Any | None:
    """What an env needs to go on in another process; None if it cannot say."""
    if hasattr(env, "get_state") and hasattr(env, "set_state"):
        return env.get_state()
    try:
        pickled = pickle.dumps(env)
    except Exception:  # an env that holds a process or a socket raises anything
        return None
    # EzPickle keeps an env's arguments, of gymnasium and PettingZoo alike, and no game.
    return None if b"_ezpickle_args" in pickled else pickled


class LoopedTeams(TeamVector):
    """Python environments played one after the other, written straight into arrays.

    Args:
        envs: One `MultiAgentEnv` per game, all of the same kind.
        team_reward: How the agents' rewards become the team's: "equal" (they must agree),
            "sum" or "mean".
    """

    def __init__(self, envs: Sequence[MultiAgentEnv], team_reward: str = "equal") -> None:
        """See class."""
        self._envs = list(envs)
        self._team_reward = team_reward
        spec = team_spec(self._envs[0])
        super().__init__(spec, len(self._envs))
        env = self._envs[0]
        self._spaces = [split_space(env.observation_spaces[agent])[0] for agent in spec.agents]
        self._n_actions = [int(env.action_spaces[agent].n) for agent in spec.agents]

    def reset(self, seed: int | None = None) -> TeamView:
        """See base class; each game gets a seed of its own, drawn from `seed`."""
        view = self._blank()
        seeds: list[int | None] = [None] * self.num_games
        if seed is not None:
            seeds = np.random.SeedSequence(seed).generate_state(self.num_games).tolist()
        for g, env in enumerate(self._envs):
            observations, infos = env.reset(seed=seeds[g])
            self._write(view, g, observations, infos)
        self._view = view
        return view

    def step(self, actions: np.ndarray) -> TeamStep:
        """See base class.

        Raises:
            ValueError: If the agents' rewards differ and no rule to join them was given.
        """
        games = self.num_games
        rewards = np.zeros(games, np.float32)
        terminated, truncated, won = (np.zeros(games, bool) for _ in range(3))
        final = self._blank()
        begun: dict[int, tuple[dict, dict]] = {}
        for g, (env, joint) in enumerate(zip(self._envs, actions.tolist(), strict=True)):
            observations, reward, terminateds, truncateds, infos = env.step(
                dict(zip(self.spec.agents, joint, strict=True))
            )
            rewards[g] = self._join(reward)
            terminated[g] = terminateds["__all__"]
            truncated[g] = truncateds["__all__"] and not terminated[g]
            won[g] = bool(infos.get(COMMON, {}).get(BATTLE_WON, False))
            self._write(final, g, observations, infos)
            if terminated[g] or truncated[g]:
                begun[g] = env.reset()
        view = final
        if begun:
            view = TeamView(**{name: array.copy() for name, array in vars(final).items()})
            for g, (observations, infos) in begun.items():
                self._write(view, g, observations, infos)
        return TeamStep(rewards, terminated, truncated, won, final=final, view=view)

    def get_state(self) -> list[Any] | None:
        """Each env's own `get_state()` if it has one, else the env itself, pickled."""
        states = [_env_state(env) for env in self._envs]
        return None if None in states else states

    def set_state(self, state: list[Any]) -> None:
        """See base class."""
        if len(state) != self.num_games:
            raise ValueError(f"{len(state)} games were saved and {self.num_games} are played here.")
        for g, saved in enumerate(state):
            if hasattr(self._envs[g], "set_state"):
                self._envs[g].set_state(saved)
            else:
                self._envs[g].close()
                self._envs[g] = pickle.loads(saved)

    def close(self) -> None:
        """See base class."""
        for env in self._envs:
            env.close()

    def _blank(self) -> TeamView:
        spec, games = self.spec, self.num_games
        return TeamView(
            np.zeros((games, spec.n_agents, spec.observation_size), np.float32),
            np.zeros((games, spec.state_size), np.float32),
            np.zeros((games, spec.n_agents, spec.n_actions), bool),
            np.ones((games, spec.n_agents), bool),
        )

    def _write(self, view: TeamView, g: int, observations: dict, infos: dict) -> None:
        for i, agent in enumerate(self.spec.agents):
            seen: Any = observations[agent]
            mask: Any = True
            if isinstance(seen, dict) and OBSERVATIONS in seen:
                mask = seen.get(ACTION_MASK, True)
                seen = seen[OBSERVATIONS]
            space = self._spaces[i]
            if not isinstance(space, gym.spaces.Box):
                seen = gym.spaces.flatten(space, seen)
            flat = np.asarray(seen, np.float32).ravel()
            view.observations[g, i, : flat.size] = flat
            view.observations[g, i, flat.size :] = 0
            view.legal_actions[g, i, : self._n_actions[i]] = mask
            view.alive[g, i] = infos.get(agent, {}).get(ALIVE, True)
        if self.spec.state_source == "env":
            view.state[g] = np.asarray(self._envs[g].state(), np.float32).ravel()
        else:
            view.state[g] = view.observations[g].ravel()

    def _join(self, reward: dict) -> float:
        values = list(reward.values())
        if self._team_reward == "sum":
            return float(sum(values))
        if self._team_reward == "mean":
            return float(np.mean(values))
        first = values[0]
        if any(value != first for value in values):
            if any(value != value for value in values):
                return float("nan")  # the env runner says so, with the step
            raise ValueError(
                f"The agents of {self.spec.engine} got different rewards, {reward}, but a team "
                "has one. Set team_reward: sum or team_reward: mean in the config."
            )
        return float(first)
