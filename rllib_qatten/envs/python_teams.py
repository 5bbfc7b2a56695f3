"""Any cooperative `MultiAgentEnv` as arrays, and several of them as a vector of teams."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.agent_ids import AgentID
from rllib_qatten.envs.answer_arrays import AnswerArrays, won
from rllib_qatten.envs.answers import reset_faults, step_faults
from rllib_qatten.envs.declared import Declared, declare, saves_games
from rllib_qatten.envs.flags import ALL, away_after_reset, away_after_step, game_flags
from rllib_qatten.envs.python_games import LOST, EnvRules, PythonGames
from rllib_qatten.envs.team import (
    TeamContractError,
    TeamStep,
    TeamVector,
    TeamView,
    engine_name_of,
)
from rllib_qatten.errors import described
from rllib_qatten.messages import say

#: How a game is saved: by the env's own `get_state`, or the whole env pickled.
OWN, WHOLE = "get_state", "pickle"


class PythonTeams(TeamVector):
    """Python environments stepped one after another, written straight into arrays.

    Observations of different sizes are padded, different numbers of actions masked. An agent that
    is not in the game, because it left early (its own terminateds or truncateds entry was true) or
    joins later (with its first observation), stays in the arrays: its observation is zero, it is
    not alive, its only legal action is 0, and no action of it is sent to the env. It returns with
    its next observation.

    Args:
        envs: One `MultiAgentEnv` per game, all of the same kind.
        team_reward: How the agents' rewards become the team's: "equal" (those that played must
            agree), "sum" or "mean" (over all N agents; a missing reward counts as 0).
        make: Creates one more env; needed for `EnvRules.restart_failed`.
        rules: What happens to envs that raise or hang, and to games without an end.
        declared: What the first env declares, read before its first reset; read here by default.

    Raises:
        TeamContractError: If the envs differ in agents or sizes.
    """

    def __init__(
        self,
        envs: Sequence[MultiAgentEnv],
        team_reward: str = "equal",
        make: Callable[[], MultiAgentEnv] | None = None,
        rules: EnvRules | None = None,
        declared: Declared | None = None,
    ) -> None:
        """See class."""
        rules = rules or EnvRules()
        self._envs = list(envs)
        self._team_reward = team_reward
        self._declared = declared or declare(self._envs[0])
        spec = self._declared.spec.ended_after(rules.max_episode_steps)
        super().__init__(spec, len(self._envs))
        has_state = self._declared.state_space is not None
        self._games = PythonGames(self._envs, spec.engine, has_state, make, rules)
        for env in self._envs[1:]:
            _check_alike(self._declared, declare(env), env)
        self._arrays = AnswerArrays(self._declared, team_reward)
        self._known = {*spec.agents, ALL}
        #: The agents that are not in each game.
        self._away: list[set[AgentID]] = [set() for _ in self._envs]

    def reset(self, seed: int | None = None) -> TeamView:
        """See base class; each game gets a seed of its own, drawn from `seed`.

        Raises:
            TeamContractError: If an env breaks the contract that it kept when it was checked.
        """
        view = TeamView.blank(self.spec, self.num_games)
        seeds: list[int | None] = [None] * self.num_games
        if seed is not None:
            seeds = np.random.SeedSequence(seed).generate_state(self.num_games).tolist()
            self._games.seed(seed)
        for g in range(self.num_games):
            self._begin(view, g, self._games.reset(g, seeds[g]))
        self._view = view
        self.game_restarts = self._games.restarts
        return view

    def step(self, actions: np.ndarray) -> TeamStep:
        """See base class.

        Raises:
            TeamContractError: If an env breaks the contract that it kept when it was checked.
        """
        final = TeamView.blank(self.spec, self.num_games)
        came: list[tuple[float, bool, bool, bool, bool]] = []
        answers: list[Any] = []
        before = list(self._away)
        for g, joint in enumerate(actions.tolist()):
            sent = dict(zip(self.spec.agents, joint, strict=True))
            for agent in self._away[g]:
                del sent[agent]
            answer = self._games.step(g, sent)
            answers.append(answer)
            if answer is LOST:
                came.append((0.0, False, True, False, True))
                for name, array in vars(final).items():
                    array[g] = getattr(self._view, name)[g]
                continue
            try:
                came.append((*self._take(final, g, answer, sent), False))
            except Exception as error:
                raise self._broken(g, answer, before[g], error) from error
        rewards, *flags = map(np.array, zip(*came, strict=True))
        terminated, truncated, won, dropped = flags
        stuck = ~(final.legal_actions.any(-1).all(-1) | terminated | truncated)
        if stuck.any():
            g = int(stuck.argmax())
            raise self._broken(g, answers[g], before[g])
        step = TeamStep(
            rewards.astype(np.float32), terminated, truncated, won, final, final, dropped
        )
        if self.before_resets is not None:
            self.before_resets(step)
        if step.done.any():
            step.view = final.copy()
            for g in np.flatnonzero(step.done).tolist():
                self._begin(step.view, g, self._games.reset(g))
        self._view = step.view
        self.game_restarts = self._games.restarts
        return step

    @property
    def envs(self) -> list[MultiAgentEnv]:
        """See base class; the name that RLlib's own vectors use."""
        return self._envs

    def __getattr__(self, name: str) -> NoReturn:
        """Called for what a vector of games does not have, but perhaps the env of one game.

        Raises:
            AttributeError: Always, saying where that is.
        """
        raise AttributeError(
            f"A vector of games has no {name!r}. The env of each game is in its envs: in a "
            "callback env.envs[env_index]",
            name=name,
            obj=self,
        )

    def render(self) -> Any:
        """The picture of the first game, as RLlib's rendering example expects it."""
        return self._envs[0].render()

    def reset_result(self, g: int) -> tuple[Any, Any] | None:
        """See base class."""
        return self._games.first[g]

    def step_result(self, g: int) -> tuple[Any, Any] | None:
        """See base class."""
        return self._games.last[g]

    def get_state(self) -> list[Any] | None:
        """For each game: who is away, its steps, and the env's own state or the pickled env."""
        states = []
        for env, away, steps in zip(self._envs, self._away, self._games.steps, strict=True):
            saved = _saved(env)
            if saved is None:
                return None
            states.append({"away": away, "steps": steps, **saved})
        return states

    def set_state(self, state: list[Any]) -> None:
        """See base class."""
        if len(state) != self.num_games:
            raise ValueError(
                f"{len(state)} games were saved, but {self.num_games} are played here."
            )
        for g, game in enumerate(state):
            if game.keys() - {OWN, WHOLE} != {"away", "steps"}:
                raise ValueError("The games were saved by a different version of this package.")
            self._away[g], self._games.steps[g] = set(game["away"]), game["steps"]
            if OWN in game:
                self._envs[g].set_state(pickle.loads(game[OWN]))
            else:
                _close(self._envs[g])
                self._envs[g] = pickle.loads(game[WHOLE])

    def close(self) -> None:
        """See base class."""
        for env in self._envs:
            _close(env)

    def _begin(self, view: TeamView, g: int, answer: Any) -> None:
        """Writes what a game's reset returned."""
        try:
            observations, infos = answer
            away = self._away[g] = away_after_reset(self.spec.agents, observations)
            self._arrays.write(view, g, observations, infos, away, self._games.states[g])
            if len(away) == self.spec.n_agents or not view.legal_actions[g].any(-1).all():
                raise ValueError("no agent is there, or one has no legal action")
        except Exception as error:
            raise self._broken(g, answer, None, error) from error

    def _take(
        self, view: TeamView, g: int, answer: Any, sent: Mapping[AgentID, int]
    ) -> tuple[float, bool, bool, bool]:
        """Writes what a game's step returned; returns its reward, terminated, truncated and won."""
        observations, rewards, terminateds, truncateds, infos = answer
        reward = self._arrays.reward(rewards, sent)
        terminated, truncated = game_flags(terminateds, truncateds)
        truncated |= self._games.out_of_steps(g)
        away = self._away[g]
        if away or len(terminateds) > 1 or len(truncateds) > 1:
            away = away_after_step(away, observations, terminateds, truncateds)
            if not terminateds.keys() | truncateds.keys() <= self._known:
                raise ValueError("a flag is of no agent")
            if len(away) == self.spec.n_agents and not (terminated or truncated):
                raise ValueError("all agents have left the game, which has not ended")
            self._away[g] = away
        self._arrays.write(view, g, observations, infos, away, self._games.states[g])
        over = terminated or truncated
        return reward, terminated, truncated and not terminated, over and won(infos)

    def _broken(
        self, g: int, answer: Any, away: set[AgentID] | None, error: Exception | None = None
    ) -> TeamContractError:
        """The checker's message for an answer of a step or reset that could not be read."""
        env, step, declared = self._envs[g], self._games.steps[g], self._declared
        if away is None:
            faults = list(reset_faults(declared, env, answer))
        else:
            faults = list(step_faults(declared, env, answer, away, step, self._team_reward))
        faults = faults or [f"its answer could not be read: {type(error).__name__}: {error}"]
        return TeamContractError.during(env, f"in step {step} of game {g}", *faults)


def _check_alike(first: Declared, other: Declared, env: MultiAgentEnv) -> None:
    """Refuses games that do not fit into the same arrays."""
    for name in (
        "agents",
        "n_actions",
        "observation_size",
        "state_size",
        "unit_features",
        "entities",
    ):
        here, there = getattr(first.spec, name), getattr(other.spec, name)
        if name == "agents":
            here, there = sorted(here, key=repr), sorted(there, key=repr)
        if here != there:
            raise TeamContractError.of(
                env,
                f"two games created with the same env_config have different {name}, {here} and "
                f"{there}: let only the settings decide",
            )


def _saved(env: MultiAgentEnv) -> dict[str, bytes] | None:
    """What an env needs to continue in another process; None if it cannot be saved."""
    try:
        if saves_games(env):
            state = env.get_state()
            return None if state is None else {OWN: pickle.dumps(state)}
        pickled = pickle.dumps(env)
    except Exception:  # an env that holds a process or a socket may raise anything
        return None
    # The EzPickle of gymnasium and of PettingZoo keeps an env's arguments, but not its game.
    return None if b"_ezpickle_args" in pickled else {WHOLE: pickled}


def _close(env: MultiAgentEnv) -> None:
    """Closes an env, unless its `close` is something else; no result depends on it."""
    if callable(env.close):
        try:
            env.close()
        except Exception as error:  # a user's env may raise anything
            say(f"{engine_name_of(env)} raised {described(error)} in close(), which is ignored.")
