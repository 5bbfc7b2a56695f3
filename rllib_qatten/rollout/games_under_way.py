"""The games under way: what the team sees and remembers in each, and what was played so far."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.columns import Columns

from rllib_qatten import columns
from rllib_qatten.envs.battles.armies import with_one_name
from rllib_qatten.envs.team import TeamStep, TeamVector, TeamView
from rllib_qatten.rollout.callbacks import EpisodeCallbacks
from rllib_qatten.rollout.changed_settings import changed
from rllib_qatten.rollout.episode import Recorder, TeamEpisode
from rllib_qatten.rollout.exploration import epsilon_greedy, greedy


class GamesUnderWay:
    """G games in lockstep, one network call per step for all G*N agents.

    Args:
        seed: Of the games and the exploration; None draws one.
        config: The run's. A callback that makes other games later, a curriculum, does not change
            what the run was given.

    Attributes:
        begun: Whether games are under way; else the next call begins them.
        dropped: Games that a fault ended since this was last set to 0.
    """

    def __init__(self, seed: int | None, config: AlgorithmConfig) -> None:
        """See class."""
        self._seed = seed
        self._given = {
            "env": _name(config.env),
            "env_config": dict(config.env_config),
            "team_reward": config.team_reward,
        }
        self._rng = np.random.default_rng(seed)
        self.begun = False
        self.dropped = 0

    def play_in(self, env: TeamVector, callbacks: EpisodeCallbacks) -> None:
        """Takes the env to play; its games are yet to begin."""
        self._env, self._callbacks = env, callbacks
        self.recorder = Recorder(env.spec, env.num_games)
        self.begun = False

    def begin(self, hidden: torch.Tensor, slots: int | None = None) -> None:
        """Restarts all games.

        Args:
            hidden: [N, H], what an agent remembers at first.
            slots: How many of the games count, the first ones; None if all do.
        """
        # One seed per beginning: the first is the runner's own, evaluations then differ.
        seed = None if self.begun else self._seed
        if self._callbacks:
            self._callbacks.before_begin(slots)
        self._view = self._env.reset(seed)
        self.recorder.begin(self._view)
        self._hidden = torch.zeros(self._env.num_games, *hidden.shape)
        self._last_actions = np.full((self._env.num_games, self._env.spec.n_agents), -1, np.int64)
        self.begun = True
        if self._callbacks:
            self._callbacks.begun(self._view)

    def play(
        self, module: Any, epsilon: float, left: np.ndarray | None
    ) -> tuple[TeamStep, list[TeamEpisode]]:
        """Plays one step of all games.

        Args:
            module: The team's policy.
            epsilon: Of the exploration.
            left: [G] int, games of each slot that still count; None if all do.

        Returns:
            The step, and the episodes of the games it ended, in the order of the games.
        """
        view = self._view
        output = module.forward_inference(
            {
                Columns.OBS: view.observations,
                columns.LAST_ACTIONS: self._last_actions,
                Columns.STATE_IN: {columns.HIDDEN: self._hidden},
            }
        )
        utilities = output[columns.UTILITIES].numpy()
        self._hidden = output[Columns.STATE_OUT][columns.HIDDEN]
        if epsilon:
            actions = epsilon_greedy(utilities, view.legal_actions, epsilon, self._rng)
        else:
            actions = greedy(utilities, view.legal_actions)
        if self._callbacks:
            self._callbacks.before_step(actions, left)
        step = self._env.step(actions)
        ended = self.recorder.record(actions, step)
        self._view, self._last_actions = step.view, actions
        if ended:
            self._last_actions[step.done] = -1
            self._hidden[torch.from_numpy(step.done)] = 0
            self.dropped += int(step.dropped.sum())
        if self._callbacks:
            self._callbacks.after_step(step)
            self._callbacks.hand_over(ended)
        return step, ended

    def get_state(self) -> dict[str, Any]:
        """The games and all that they draw from; "games" is None where they cannot be saved."""
        teams = self._env.get_state() if self.begun else None
        games = None
        if teams is not None:
            games = {
                "settings": self._settings,
                "teams": teams,
                "view": {name: array.copy() for name, array in vars(self._view).items()},
                "hidden": self._hidden.numpy().copy(),
                "last_actions": self._last_actions.copy(),
                "recorder": self.recorder.get_state(),
            }
            if self._callbacks:
                games["callbacks"] = self._callbacks.get_state()
        return {
            "exploration": self._rng.bit_generator.state,
            "begun": self.begun,
            "games": games,
        }

    def set_exploration(self, state: dict[str, Any]) -> None:
        """Continues the draws of saved games."""
        self._rng.bit_generator.state = state["exploration"]

    @property
    def _settings(self) -> dict[str, Any]:
        """What saved games must agree with: an env that is saved whole brings its own settings."""
        return {
            "num_envs_per_env_runner": self._env.num_games,
            "engine": self._env.spec.engine,
            **self._given,
        }

    def go_on(self, games: dict[str, Any] | None) -> str:
        """Takes up saved games, if they were made with the same settings.

        Returns:
            Why they cannot be taken up; empty if they are.
        """
        if not games:
            return "the env cannot be saved"
        if "settings" not in games:
            return "an older version of this package saved them"
        before, now = map(with_one_name, (games["settings"], self._settings))
        if differ := list(changed(before, now)):
            return "; ".join(f"{key}: {x} in the checkpoint, {y} here" for key, x, y in differ)
        try:
            self._env.set_state(games["teams"])
        except Exception as error:  # what envs half took up, the next reset forgets
            return f"{self._env.spec.engine} cannot take up its state: {error!r}"
        self._view = TeamView(**{name: array.copy() for name, array in games["view"].items()})
        self._hidden = torch.from_numpy(games["hidden"].copy())
        self._last_actions = games["last_actions"].copy()
        self.recorder.set_state(games["recorder"])
        if self._callbacks:
            self._callbacks.set_state(games.get("callbacks"), self._view)
        self.begun = True
        return ""

    def begin_others(self, env_steps: int) -> None:
        """The next games are others than those that this seed has begun with before."""
        self.begun = False
        if self._seed is not None:
            fresh = np.random.SeedSequence([self._seed, env_steps])
            self._seed = int(fresh.generate_state(1)[0])
            self._rng = np.random.default_rng(self._seed)


def _name(env: Any) -> str:
    """A name, a path, or the path of a class or function: another process has another object."""
    if isinstance(env, str):
        return env
    made = env if hasattr(env, "__qualname__") else type(env)
    return f"{made.__module__}:{made.__qualname__}"
