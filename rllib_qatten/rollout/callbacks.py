"""RLlib's callbacks of single episodes and steps, for games that are played as arrays."""

from __future__ import annotations

import functools
import pickle
from typing import Any

import numpy as np
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.callbacks.utils import make_callback
from ray.rllib.env.env_runner import EnvRunner

from rllib_qatten.envs.team import (
    ACTION_MASK,
    ALIVE,
    BATTLE_WON,
    COMMON,
    OBSERVATIONS,
    TeamSpec,
    TeamStep,
    TeamVector,
    TeamView,
)
from rllib_qatten.rollout.episode import TeamEpisode
from rllib_qatten.rollout.team_game import TeamGame

CREATED, START, STEP, END = (
    "on_episode_created",
    "on_episode_start",
    "on_episode_step",
    "on_episode_end",
)


class EpisodeCallbacks:
    """Keeps a `TeamGame` per game and reports it to the callbacks.

    Games that don't count, because an exact evaluation has enough of its slot, are not
    reported, nor is the end of one that a fault ended.

    Args:
        runner: Whose env, module and metrics the callbacks get.
        objects: The instances of the config's callback classes.
    """

    def __init__(self, runner: EnvRunner, objects: list[RLlibCallback]) -> None:
        """See class."""
        self._runner, self._objects = runner, objects
        self._heard = {hook for hook in (CREATED, START, STEP, END) if self._hears(hook)}
        self._games: list[TeamGame | None] = []
        self._sent = np.zeros((0, 0), np.int64)
        self._left: np.ndarray | None = None
        self._ended: list[TeamGame | None] = []
        self._reported = False

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return bool(self._heard)

    def environment_created(self, env: TeamVector, context: Any) -> None:
        """Reports newly created games, and listens to them from then on."""
        self._games = [None] * env.num_games
        if self:
            env.before_resets = self._stepped
        self._call("on_environment_created", env=env.unwrapped, env_context=context)

    def before_begin(self, slots: int | None) -> None:
        """Reports that all games are about to restart, or the first `slots`, which count."""
        self._games = [None] * len(self._games)
        for g in range(len(self._games))[:slots]:
            self._create(g)

    def begun(self, view: TeamView) -> None:
        """Reports that all games have started."""
        for g in range(len(self._games)):
            self._start(g, view)

    def before_step(self, actions: np.ndarray, left: np.ndarray | None) -> None:
        """Takes what is about to be played.

        Args:
            actions: [G, N] int.
            left: [G] int, games of each slot that still count; None if all do.
        """
        # A copy: steps are put together later, and the last actions of ended games are cleared.
        self._sent, self._left, self._reported = actions.copy(), left, False

    def after_step(self, step: TeamStep) -> None:
        """Reports a step, and the games that started after it."""
        if not self._reported:
            self._stepped(step)
        for g in np.flatnonzero(step.done).tolist():
            self._start(g, step.view)

    def hand_over(self, episodes: list[TeamEpisode]) -> None:
        """Gives the games that have just ended id and custom data of what the callbacks saw."""
        for episode, game in zip(episodes, self._ended, strict=True):
            if game is not None:
                episode.id_, episode.custom_data = game.id_, game.custom_data

    def get_state(self) -> bytes | None:
        """The games under way; None if something in their custom data cannot be saved."""
        try:
            return pickle.dumps(self._games)
        except Exception:  # users put anything there
            return None

    def set_state(self, state: bytes | None, view: TeamView) -> None:
        """Continues saved games; if there are none, each begins with its next step."""
        if state is not None:
            self._games = pickle.loads(state)
            return
        for g in range(len(self._games)):
            self._games[g] = game = TeamGame()
            game.begin(functools.partial(_as_reset, self._runner.env.spec, view, g), {})

    def _hears(self, hook: str) -> bool:
        own = getattr(RLlibCallback, hook)
        return bool(getattr(self._runner.config, f"callbacks_{hook}")) or any(
            getattr(getattr(o, hook), "__func__", None) is not own for o in self._objects
        )

    def _stepped(self, step: TeamStep) -> None:
        """Before ended games are reset: their envs are as the last step left them."""
        self._reported = True
        self._ended = []
        for g, game in enumerate(self._games):
            done, dropped = bool(step.done[g]), bool(step.dropped[g])
            if game is not None and not dropped:
                self._add(g, game, step)
                self._tell(STEP, g)
                if done:
                    self._tell(END, g, prev_episode_chunks=[])
            if done:
                self._ended.append(game)
                counts = self._left is None or self._left[g] - (not dropped) > 0
                self._games[g] = None
                if counts:
                    self._create(g)

    def _add(self, g: int, game: TeamGame, step: TeamStep) -> None:
        env = self._runner.env
        terminated, truncated = bool(step.terminated[g]), bool(step.truncated[g])
        result = env.step_result(g)
        if result is not None:
            common = (result[1][4] or {}).get(COMMON) or {}
        else:
            over = env.spec.is_battle and (terminated or truncated)
            common = {BATTLE_WON: bool(step.won[g])} if over else {}
            result = functools.partial(_as_step, env.spec, self._sent, step, g)
        game.step(result, common, float(step.rewards[g]), terminated, truncated)

    def _create(self, g: int) -> None:
        self._games[g] = TeamGame()
        self._tell(CREATED, g)

    def _start(self, g: int, view: TeamView) -> None:
        game = self._games[g]
        if game is not None:
            env = self._runner.env
            result = env.reset_result(g) or functools.partial(_as_reset, env.spec, view, g)
            common = {} if callable(result) else (result[1] or {}).get(COMMON) or {}
            game.begin(result, common)
            self._tell(START, g)

    def _tell(self, hook: str, g: int, **kwargs: Any) -> None:
        if hook in self._heard:
            self._call(
                hook,
                episode=self._games[g],
                env=self._runner.env.unwrapped,
                rl_module=self._runner.module,
                env_index=g,
                **kwargs,
            )

    def _call(self, hook: str, **kwargs: Any) -> None:
        make_callback(
            hook,
            callbacks_objects=self._objects,
            callbacks_functions=getattr(self._runner.config, f"callbacks_{hook}"),
            kwargs={"env_runner": self._runner, "metrics_logger": self._runner.metrics, **kwargs},
        )


def _as_reset(spec: TeamSpec, view: TeamView, g: int) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Game g's view as RLlib's multi-agent envs bring it: observations with masks, and infos."""
    observations = {
        agent: {
            OBSERVATIONS: view.observations[g, i].copy(),
            ACTION_MASK: view.legal_actions[g, i].astype(np.int8),
        }
        for i, agent in enumerate(spec.agents)
    }
    return observations, {a: {ALIVE: bool(view.alive[g, i])} for i, a in enumerate(spec.agents)}


def _as_step(
    spec: TeamSpec, actions: np.ndarray, step: TeamStep, g: int
) -> tuple[dict[Any, int], tuple[dict[Any, Any], ...]]:
    """A step of game g as RLlib's multi-agent envs bring it: the actions, and the answers."""
    observations, infos = _as_reset(spec, step.final, g)
    rewards = dict.fromkeys(spec.agents, float(step.rewards[g]))
    sent = dict(zip(spec.agents, actions[g].tolist(), strict=True))
    return sent, (observations, rewards, {}, {}, infos)
