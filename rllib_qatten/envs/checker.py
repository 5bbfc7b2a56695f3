"""A checker that says what is wrong with a team environment, in which agent, and the fix."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.adapters.team_env import as_team_env
from rllib_qatten.envs.agent_ids import AgentID
from rllib_qatten.envs.answers import (
    OTHER_VICTORIES,
    legal_actions,
    notes,
    reset_faults,
    reward_of,
    step_faults,
)
from rllib_qatten.envs.declared import Declared, declare
from rllib_qatten.envs.flags import away_after_reset, away_after_step, game_flags
from rllib_qatten.envs.spaces import bulk, plain_space
from rllib_qatten.envs.team import BATTLE_WON, COMMON, TeamContractError, engine_name_of
from rllib_qatten.errors import described
from rllib_qatten.messages import say_once

#: How many steps of random games the checker plays, and how many seconds it takes at most.
STEPS, SECONDS = 200, 5.0
#: Returns of random games below and above which rewards are called small and large.
SMALL, LARGE = 0.05, 200.0


def check_env(env: Any, *, team_reward: str = "equal", seed: int = 0) -> None:
    """Plays random games and checks every part of the team contract along the way.

    What training can live with but is likely a slip, such as an observation out of its bounds, is
    only reported, on standard error.

    Args:
        env: A `MultiAgentEnv`, a PettingZoo `ParallelEnv`, or a gymnasium env with Tuple spaces; it
            is reset, played and left in the middle of a game.
        team_reward: How the agents' rewards are combined; different ones are a fault under "equal".
        seed: Of the reset and of the random legal actions.

    Raises:
        TeamContractError: With everything that is wrong, agent by agent, and how to fix it.
    """
    team = as_team_env(env)
    check_games(team, declare(team), team_reward=team_reward, seed=seed)


def check_games(
    env: MultiAgentEnv,
    declared: Declared,
    *,
    team_reward: str = "equal",
    seed: int = 0,
    tell: Callable[[str], None] = say_once,
) -> None:
    """Like `check_env`, for an env whose declaration has been read.

    Args:
        env: The env.
        declared: What it declares.
        team_reward: See `check_env`.
        seed: See `check_env`.
        tell: What to do with a note.

    Raises:
        TeamContractError: See `check_env`.
    """
    games = _RandomGames(env, declared, team_reward, seed)
    until = time.monotonic() + SECONDS
    for _ in range(STEPS):
        if faults := list(games.play()):
            raise TeamContractError.of(env, *faults)
        if time.monotonic() > until:
            break
    name = engine_name_of(env)
    found = games.notes.values(), games.absent(), games.untold(), games.out_of_scale()
    for note in itertools.chain(_sizes(declared), *found):
        tell(f"{name}: {note}.")


def _sizes(declared: Declared) -> Iterator[str]:
    """Notes on large observations, one for all agents with the same space."""
    noted: list[Any] = []
    for agent, space in zip(declared.spec.agents, declared.observation_spaces, strict=True):
        plain = plain_space(space)
        if plain not in noted and (size := bulk(plain)):
            noted.append(plain)
            yield f"agent {agent!r}'s observation is {size}; the replay keeps one for every step"
    if declared.state_space is not None and (size := bulk(declared.state_space)):
        yield f"the state is {size}; the replay keeps one for every step"


class _RandomGames:
    """Random games of an env, one after another.

    Attributes:
        notes: Likely slips, the first of each kind.
    """

    def __init__(self, env: MultiAgentEnv, declared: Declared, team_reward: str, seed: int) -> None:
        self.notes: dict[str, str] = {}
        self._env, self._declared, self._team_reward = env, declared, team_reward
        self._seed: int | None = seed
        self._rng = np.random.default_rng(seed)
        self._over = True
        self._met: set[AgentID] = set()
        self._away: set[AgentID] = set()
        #: Of games that are over: how many there were, and the keys of their last infos.
        self._games_over, self._terminated = 0, False
        self._last_infos: set[Any] = set()
        #: The team's return of each game, the last one unfinished.
        self._returns: list[float] = []

    def play(self) -> Iterator[str]:
        """Plays one step, starting a game if needed, and yields what is wrong with it."""
        if self._over:
            yield from (faults := list(self._begin()))
            if faults:
                return
        sent = {
            agent: int(self._rng.choice(np.flatnonzero(self._legal(i))))
            for i, agent in enumerate(self._declared.spec.agents)
            if agent not in self._away
        }
        self._t += 1
        limit = self._declared.spec.episode_limit
        if limit is not None and self._t > limit:
            self.notes.setdefault(
                "episode_limit",
                f"episode_limit is {limit}, but a random game took more steps: set it to the most "
                "that a game can take, or to None; the size of the replay is predicted from it",
            )
        try:
            answer = self._env.step(dict(sent))
        except (Exception, SystemExit) as error:
            yield (
                f"step({sent}) raised {described(error)}; fix step(), which gets an action for "
                "every agent in the game"
            )
            return
        faults = list(
            step_faults(self._declared, self._env, answer, self._away, self._t, self._team_reward)
        )
        yield from faults
        if faults:
            return
        observations, rewards, terminateds, truncateds, infos = answer
        total = sum(reward_of(rewards[agent]) for agent in sent)
        self._returns[-1] += total / (1 if self._team_reward == "sum" else max(1, len(sent)))
        self._look_at_rewards(rewards, sent)
        self._away = away_after_step(self._away, observations, terminateds, truncateds)
        terminated, truncated = game_flags(terminateds, truncateds)
        self._over = terminated or truncated
        if self._over:
            self._games_over += 1
            self._terminated |= terminated
            self._last_infos |= {key for info in infos.values() if info for key in info}
        self._look(observations, infos)

    def absent(self) -> Iterator[str]:
        """Agents that were never in a game."""
        for agent in self._declared.spec.agents:
            if agent not in self._met:
                yield (
                    f"agent {agent!r} had no observation in any of the random games: leave it out "
                    "of possible_agents if it never joins"
                )

    def untold(self) -> Iterator[str]:
        """Battles of which no game said that it was won, though one ended by itself, and others."""
        if not self._declared.spec.is_battle:
            if BATTLE_WON in self._last_infos:
                yield (
                    f"the infos have {BATTLE_WON!r}, which is not read, since is_battle is not "
                    "True: set it in __init__() to get win rates"
                )
            return
        if BATTLE_WON in self._last_infos:
            return
        meant = next((name for name in OTHER_VICTORIES if name in self._last_infos), None)
        if not self._terminated and meant is None:  # cut off, all of them: nobody won
            return
        yield (
            f"is_battle is True, but none of the {self._games_over} random games that ended had "
            f"{BATTLE_WON!r} in its last infos, so all count as lost: set it in infos[{COMMON!r}], "
            "or in an agent's, to whether the game was won"
            + (f"; the infos have {meant!r}, which is not read" if meant else "")
        )

    def out_of_scale(self) -> Iterator[str]:
        """Rewards that networks, which begin near 0 and move by small steps, learn late from."""
        sizes = [abs(value) for value in self._returns[:-1] or self._returns]
        typical = float(np.mean(sizes)) if max(sizes) >= SMALL else max(sizes)
        if typical and not SMALL <= typical <= LARGE:
            yield (
                f"random games return about {float(np.mean(self._returns)):.4g}: networks begin "
                "near 0 and move by small steps, so that the best teams may not be found; scale "
                "the rewards until those of a game sum up to about 1 to 20"
            )

    def _begin(self) -> Iterator[str]:
        try:
            answer = self._env.reset(seed=self._seed)
        except (Exception, SystemExit) as error:  # a user's env may raise anything
            yield f"reset() raised {described(error)}; fix reset(), which gets seed and options"
            return
        self._seed = None
        faults = list(reset_faults(self._declared, self._env, answer))
        yield from faults
        if not faults:
            self._t, self._over = 0, False
            self._returns.append(0.0)
            self._away = away_after_reset(self._declared.spec.agents, answer[0])
            self._look(*answer)

    def _look(self, observations: dict, infos: dict) -> None:
        self._met |= observations.keys()
        self._observations, self._infos = observations, infos
        for key, note in notes(self._declared, self._env, observations, infos):
            when = f"in step {self._t}" if self._t else "after reset()"
            self.notes.setdefault(key, f"{note}, {when} of a random game")

    def _look_at_rewards(self, rewards: dict[AgentID, Any], played: Collection[AgentID]) -> None:
        """Notes what an agent that has left gets, where that does not count."""
        if self._team_reward != "equal" or not played:
            return
        team = reward_of(rewards[next(iter(played))])
        for agent, value in rewards.items():
            if agent not in played and reward_of(value) not in (0, team):
                self.notes.setdefault(
                    "late rewards",
                    f"agent {agent!r}, who has left, gets the reward {reward_of(value):g} and the "
                    f"others {team:g}, in step {self._t} of a random game: with team_reward: equal "
                    "only those of agents in the game count; with sum or mean all do",
                )

    def _legal(self, i: int) -> np.ndarray:
        return legal_actions(self._declared, i, self._observations, self._infos)
