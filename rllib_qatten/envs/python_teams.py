"""Any cooperative `MultiAgentEnv` as arrays, and several of them as a vector of teams."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Sequence
from typing import Any, cast

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.python_games import EnvRules, PythonGames
from rllib_qatten.envs.team import (
    ACTION_MASK,
    ALIVE,
    BATTLE_WON,
    COMMON,
    OBSERVATION_KEYS,
    TeamSpec,
    TeamStep,
    TeamVector,
    TeamView,
)


def mask_key(space: gym.Space) -> str | None:
    """The key of the observation beside an action mask; None if the space holds no mask."""
    if isinstance(space, gym.spaces.Dict) and ACTION_MASK in space.spaces:
        return next((key for key in OBSERVATION_KEYS if key in space.spaces), None)
    return None


def plain_space(space: gym.Space) -> gym.Space:
    """The part of an observation space that is the observation."""
    key = mask_key(space)
    return space if key is None else cast(gym.spaces.Dict, space)[key]


def leavers(*flags: dict[str, bool]) -> set[str]:
    """The agents that a step's terminateds and truncateds flag."""
    return {agent for of in flags for agent, flag in of.items() if flag and agent != "__all__"}


def team_spec(env: MultiAgentEnv) -> TeamSpec:
    """Reads a team's sizes from an env's spaces; `check_env` says what is wrong with them."""
    agents = tuple(env.possible_agents)
    lengths = [gym.spaces.flatdim(plain_space(env.observation_spaces[agent])) for agent in agents]
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

    Unlike sizes are padded and masked. An agent that leaves before the game's end (its own
    terminateds or truncateds entry is true) stays in the arrays: its observation is zero, it is not
    alive, action 0 is its only legal one, and the env is not sent it.

    Args:
        envs: One `MultiAgentEnv` per game, all of the same kind.
        team_reward: How the agents' rewards become the team's: "equal" (they must agree),
            "sum" or "mean" (over all N agents, those that left count as 0).
        make: Makes one more env; needed for `EnvRules.restart_failed`.
        rules: What happens to envs that raise or hang, and to games without an end.
    """

    def __init__(
        self,
        envs: Sequence[MultiAgentEnv],
        team_reward: str = "equal",
        make: Callable[[], MultiAgentEnv] | None = None,
        rules: EnvRules | None = None,
    ) -> None:
        """See class."""
        rules = rules or EnvRules()
        self._envs = list(envs)
        self._team_reward = team_reward
        self._left: list[set[str]] = [set() for _ in self._envs]
        env = self._envs[0]
        spec = team_spec(env)
        if limits := [n for n in (spec.episode_limit, rules.max_episode_steps) if n is not None]:
            spec = dataclasses.replace(spec, episode_limit=min(limits))
        super().__init__(spec, len(self._envs))
        has_state = spec.state_source == "env"
        self._games = PythonGames(self._envs, spec.engine, has_state, make, rules)
        spaces = [env.observation_spaces[agent] for agent in spec.agents]
        self._mask_keys = [mask_key(space) for space in spaces]
        plain = [plain_space(space) for space in spaces]
        self._flatten = [None if isinstance(p, gym.spaces.Box) else p for p in plain]
        lengths = [gym.spaces.flatdim(space) for space in plain]
        n_actions = [int(env.action_spaces[agent].n) for agent in spec.agents]
        #: Where the arrays hold something: bool [N, O] and [N, A]; the rest is padding.
        self._observed = np.arange(spec.observation_size) < np.array(lengths)[:, None]
        self._existing = np.arange(spec.n_actions) < np.array(n_actions)[:, None]
        self._unseen = [np.zeros(length, np.float32) for length in lengths]
        self._all_legal = [np.ones(n, bool) for n in n_actions]
        self._only_first = [np.arange(n) == 0 for n in n_actions]

    def reset(self, seed: int | None = None) -> TeamView:
        """See base class; each game gets a seed of its own, drawn from `seed`."""
        view = self._blank()
        seeds: list[int | None] = [None] * self.num_games
        if seed is not None:
            seeds = np.random.SeedSequence(seed).generate_state(self.num_games).tolist()
            self._games.seed(seed)
        for g in range(self.num_games):
            observations, infos = self._games.reset(g, seeds[g])
            self._left[g] = set()
            self._write(view, g, observations, infos)
        self._view = view
        self.game_restarts = self._games.restarts
        return view

    def step(self, actions: np.ndarray) -> TeamStep:
        """See base class.

        Raises:
            ValueError: If the agents' rewards differ and no rule to join them was given, or if an
                env goes on without agents.
        """
        games = self.num_games
        rewards = np.zeros(games, np.float32)
        terminated, truncated, won, dropped = (np.zeros(games, bool) for _ in range(4))
        final = self._blank()
        for g, joint in enumerate(actions.tolist()):
            sent = dict(zip(self.spec.agents, joint, strict=True))
            for agent in self._left[g]:
                del sent[agent]
            played = self._games.step(g, sent)
            if played is None:
                truncated[g] = dropped[g] = True
                for name, array in vars(final).items():
                    array[g] = getattr(self._view, name)[g]
                continue
            observations, reward, terminateds, truncateds, infos = played
            rewards[g] = self._join([reward[agent] for agent in sent])
            terminated[g] = terminateds["__all__"]
            cut = truncateds["__all__"] or self._games.out_of_steps(g)
            truncated[g] = cut and not terminated[g]
            won[g] = bool(infos.get(COMMON, {}).get(BATTLE_WON, False))
            over = terminated[g] or truncated[g]
            # With the game all agents leave; what they last saw is then worth keeping.
            gone = leavers(terminateds, truncateds) - (observations.keys() if over else set())
            self._left[g] |= gone
            if len(self._left[g]) == self.spec.n_agents and not over:
                raise ValueError(
                    f"All agents of {self.spec.engine} have left the game, which goes on: set "
                    "terminateds['__all__'] or truncateds['__all__'] to True."
                )
            self._write(final, g, observations, infos)
        step = TeamStep(rewards, terminated, truncated, won, final, final, dropped)
        if self.before_resets is not None:
            self.before_resets(step)
        if step.done.any():
            step.view = final.copy()
            for g in np.flatnonzero(step.done).tolist():
                self._left[g] = set()
                self._write(step.view, g, *self._games.reset(g))
        self._view = step.view
        self.game_restarts = self._games.restarts
        return step

    @property
    def envs(self) -> list[MultiAgentEnv]:
        """See base class; the name that RLlib's own vectors have."""
        return self._envs

    def render(self) -> Any:
        """The picture of the first game, as RLlib's example of rendering takes it."""
        return self._envs[0].render()

    def reset_result(self, g: int) -> tuple[Any, Any] | None:
        """See base class."""
        return self._games.first[g]

    def step_result(self, g: int) -> tuple[Any, Any] | None:
        """See base class."""
        return self._games.last[g]

    def get_state(self) -> list[Any] | None:
        """Who left, the steps, and each env's own `get_state()` or the env itself, pickled."""
        states = [_env_state(env) for env in self._envs]
        if None in states:
            return None
        return list(zip(self._left, self._games.steps, states, strict=True))

    def set_state(self, state: list[Any]) -> None:
        """See base class."""
        if len(state) != self.num_games:
            raise ValueError(f"{len(state)} games were saved and {self.num_games} are played here.")
        for g, (left, steps, saved) in enumerate(state):
            self._left[g], self._games.steps[g] = left, steps
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
        # All agents are written at once: one numpy call an agent would cost more than many envs.
        parts: list[Any] = []
        masks, alive = [], []
        for i, agent in enumerate(self.spec.agents):
            if agent in self._left[g]:
                parts.append(self._unseen[i])
                masks.append(self._only_first[i])
                alive.append(False)
                continue
            if agent not in observations:
                raise ValueError(
                    f"{self.spec.engine} brought no observation of agent {agent!r}, which has not "
                    "left the game: return one, or set its terminateds entry to True."
                )
            seen, info, mask = observations[agent], infos.get(agent, {}), None
            key, space = self._mask_keys[i], self._flatten[i]
            if key is not None:
                seen, mask = seen[key], seen[ACTION_MASK]
            elif ACTION_MASK in info:
                mask = info[ACTION_MASK]
            parts.append(seen if space is None else gym.spaces.flatten(space, seen))
            masks.append(self._all_legal[i] if mask is None else mask)
            alive.append(info.get(ALIVE, True))
        view.observations[g][self._observed] = np.concatenate(parts, axis=None)
        view.legal_actions[g][self._existing] = np.concatenate(masks, axis=None)
        view.alive[g] = alive
        if self.spec.state_source == "env":
            view.state[g] = np.ravel(self._games.states[g])
        else:
            view.state[g] = view.observations[g].ravel()

    def _join(self, rewards: list[float]) -> float:
        if self._team_reward == "sum":
            return float(sum(rewards))
        if self._team_reward == "mean":
            return float(sum(rewards)) / self.spec.n_agents
        first = rewards[0]
        if any(reward != first for reward in rewards):
            if any(reward != reward for reward in rewards):
                return float("nan")  # the env runner says so, with the step
            raise ValueError(
                f"The agents of {self.spec.engine} got different rewards, {rewards}, but a team "
                "has one. Set team_reward: sum or team_reward: mean in the config."
            )
        return float(first)
