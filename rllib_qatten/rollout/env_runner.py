"""The env runner: plays teams in lockstep and returns whole episodes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.utils.annotations import override

from rllib_qatten import keys
from rllib_qatten.envs import EngineFailed, TeamStep, TeamVector, TeamView, make_teams
from rllib_qatten.rollout import global_rng
from rllib_qatten.rollout.episode import Recorder, TeamEpisode
from rllib_qatten.rollout.exploration import EpsilonSchedule, epsilon_greedy, greedy
from rllib_qatten.rollout.quotas import play_shares


class TeamEnvRunner(SingleAgentEnvRunner):
    """Plays G games of a team with one network call per step for all G*N agents.

    To RLlib a team is one agent, so that state, weights, counters and fault tolerance are those of
    `SingleAgentEnvRunner`. Replaced are the environment (a `TeamVector`), the sampling loop (arrays
    instead of episode objects per step) and the metrics per episode. Of RLlib's callbacks
    `on_sample_end` gets the whole episodes; those of single episodes and steps are not called.
    """

    def __init__(self, *, config: AlgorithmConfig, **kwargs: Any) -> None:
        """See base class."""
        super().__init__(config=config, **kwargs)
        self._rng = np.random.default_rng(self._seed)
        self._epsilon = EpsilonSchedule(config.epsilon)
        self._finished: list[TeamEpisode] = []
        self._dropped = 0

    @override(SingleAgentEnvRunner)
    def make_env(self) -> None:
        """Makes the games; a remote runner of a threaded engine keeps to one core."""
        if self.env is not None:
            self.env.close()
        config = self.config
        context = EnvContext(
            config.env_config, worker_index=self.worker_index or 0, num_workers=self.num_workers
        )
        self.env: TeamVector = make_teams(
            config.env, context, config.num_envs_per_env_runner, config.team_reward
        )
        self.num_envs = self.env.num_games
        self._recorder = Recorder(self.env.spec, self.num_envs)
        self._needs_initial_reset = True
        self._restarts_told = 0
        if self.env.one_core and self.worker_index and hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            for thread in os.listdir("/proc/self/task"):  # the engine has started its own
                with contextlib.suppress(ProcessLookupError):  # one may end meanwhile
                    os.sched_setaffinity(int(thread), {cores[(self.worker_index - 1) % len(cores)]})
            torch.set_num_threads(1)

    def get_games(self) -> dict[str, Any]:
        """The games under way and all that they draw from, for an exact resume.

        Not part of `get_state`: RLlib hands that from one env runner to others.
        """
        begun = not self._needs_initial_reset
        teams = self.env.get_state() if begun else None
        games = None
        if teams is not None:
            games = {
                "num_games": self.num_envs,
                "engine": self.env.spec.engine,
                "teams": teams,
                "view": {name: array.copy() for name, array in vars(self._view).items()},
                "hidden": self._hidden.numpy().copy(),
                "last_actions": self._last_actions.copy(),
                "recorder": self._recorder.get_state(),
            }
        return {
            "worker_index": self.worker_index or 0,
            "env_steps": self.num_env_steps_sampled_lifetime,
            "exploration": self._rng.bit_generator.state,
            "global_rng": global_rng.get_state(),
            "begun": begun,
            "games": games,
        }

    def set_games(self, state: dict[str, Any] | None, env_steps: int) -> bool:
        """Goes on with saved games, or, where they do not fit, with new ones.

        Args:
            state: What `get_games` of the runner with this index gave; None if there was none.
            env_steps: Steps that were played for training, for a runner that was not there.

        Returns:
            False if games under way start anew.
        """
        self.num_env_steps_sampled_lifetime = state["env_steps"] if state else env_steps
        if state:
            self._rng.bit_generator.state = state["exploration"]
            global_rng.set_state(state["global_rng"])
        if self.env is None or (state and not state["begun"]):
            return True
        if state and self._go_on(state["games"]):
            return True
        self._needs_initial_reset = True
        if self._seed is not None:
            # Other games than those this seed has begun with before.
            fresh = np.random.SeedSequence([self._seed, env_steps])
            self._seed: int | None = int(fresh.generate_state(1)[0])
            self._rng = np.random.default_rng(self._seed)
        return False

    def _go_on(self, games: dict[str, Any] | None) -> bool:
        """Takes up saved games, if they are of the same number and engine."""
        ours = self.num_envs, self.env.spec.engine
        if not games or (games["num_games"], games["engine"]) != ours:
            return False
        try:
            self.env.set_state(games["teams"])
        except Exception:  # envs raise anything; what they half took up, the next reset forgets
            return False
        self._view: TeamView = TeamView(
            **{name: array.copy() for name, array in games["view"].items()}
        )
        self._hidden = torch.from_numpy(games["hidden"].copy())
        self._last_actions = games["last_actions"].copy()
        self._recorder.set_state(games["recorder"])
        self._needs_initial_reset = False
        return True

    @override(EnvRunner)
    def assert_healthy(self) -> None:
        """See base class."""
        assert self.env is not None
        assert self.module is not None

    @override(EnvRunner)
    def get_spaces(self) -> dict[str, tuple[gym.Space, gym.Space]]:
        """Without connectors the module's spaces are the env's own."""
        spaces = super().get_spaces()
        if self.env is not None:
            spaces[DEFAULT_MODULE_ID] = spaces[INPUT_ENV_SINGLE_SPACES]
        return spaces

    @override(SingleAgentEnvRunner)
    def _sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> Sequence[TeamEpisode | EngineFailed]:
        """Plays until enough games have ended.

        In training, games go on from call to call and `num_episodes` is a minimum. In evaluation
        all games start anew and exactly `num_episodes` are played, each slot its fixed share: to
        take the first that end would favour short games.

        Returns:
            The episodes; or, from a remote runner, why its engine cannot play: what it raised,
            RLlib would only log, and start the runner again for ever.
        """
        try:
            return self._played(num_timesteps, num_episodes, explore, random_actions, force_reset)
        except EngineFailed as error:
            if not self.worker_index:
                raise
            self._increase_sampled_metrics(1, 0)  # RLlib asks again while there are no steps
            return [error]

    def _played(
        self,
        num_timesteps: int | None,
        num_episodes: int | None,
        explore: bool,
        random_actions: bool,
        force_reset: bool,
    ) -> list[TeamEpisode]:
        exact = self.config.in_evaluation and num_episodes is not None
        if force_reset or exact or self._needs_initial_reset:
            self._begin()
        explored = 1.0 if random_actions else None if explore else 0.0
        if exact:
            steps, episodes = play_shares(
                lambda steps: self._play(explored, steps), self.num_envs, num_episodes or 0
            )
        else:
            steps, episodes = self._play_on(num_timesteps or 0, num_episodes or 0, explored)
        finished = [episode for episode in episodes if not episode.dropped]
        self._finished += finished
        self._increase_sampled_metrics(steps, len(finished))
        self.num_env_steps_sampled_lifetime += steps * max(1, self.num_workers)
        return episodes

    def _play_on(
        self, num_timesteps: int, num_episodes: int, epsilon: float | None
    ) -> tuple[int, list[TeamEpisode]]:
        """All games go on until so many steps were played or so many games ended."""
        episodes: list[TeamEpisode] = []
        steps = 0
        finished = 0
        while steps < num_timesteps or finished < num_episodes:
            step, ended = self._play(epsilon, steps)
            # What was played of a dropped game can be learned from.
            episodes += [episode for episode in ended if len(episode)]
            steps += self.num_envs - int(step.dropped.sum())
            finished += int((step.done & ~step.dropped).sum())
        return steps, episodes

    def _begin(self) -> None:
        # One seed per beginning: the first is the runner's own, evaluations then differ.
        seed = None
        if self._needs_initial_reset and self._seed is not None:
            seed = self._seed
        self._view = self.env.reset(seed)
        self._recorder.begin(self._view)
        hidden = self.module.get_initial_state()["hidden"]
        self._hidden = torch.zeros(self.num_envs, *hidden.shape)
        self._last_actions = np.full((self.num_envs, self.env.spec.n_agents), -1, np.int64)
        self._needs_initial_reset = False

    def _play(self, epsilon: float | None, steps: int) -> tuple[TeamStep, list[TeamEpisode]]:
        """One step of all games.

        Args:
            epsilon: Of the exploration; None takes the schedule's.
            steps: Env steps already played in this call, for the schedule.
        """
        view = self._view
        output = self.module.forward_inference(
            {
                Columns.OBS: view.observations,
                "last_actions": self._last_actions,
                Columns.STATE_IN: {"hidden": self._hidden},
            }
        )
        utilities = output["utilities"].numpy()
        self._hidden = output[Columns.STATE_OUT]["hidden"]
        if epsilon is None:
            played = self.num_env_steps_sampled_lifetime + steps * max(1, self.num_workers)
            epsilon = self._epsilon(played)
        if epsilon:
            actions = epsilon_greedy(utilities, view.legal_actions, epsilon, self._rng)
        else:
            actions = greedy(utilities, view.legal_actions)
        step = self.env.step(actions)
        ended = self._recorder.record(actions, step)
        self._view, self._last_actions = step.view, actions
        if ended:
            self._last_actions[step.done] = -1
            self._hidden[torch.from_numpy(step.done)] = 0
            self._dropped += int(step.dropped.sum())
        return step, ended

    @override(SingleAgentEnvRunner)
    def get_metrics(self) -> dict[str, Any]:
        """Exact means over the games that ended since the last call."""

        def mean(key: str, value: float) -> None:
            self.metrics.log_value(key, value, reduce="pooled_mean")

        for episode in self._finished:
            mean(keys.EPISODE_RETURN_MEAN, episode.episode_return)
            mean(keys.EPISODE_LEN_MEAN, len(episode))
            if episode.won is not None:
                mean(keys.WIN_RATE, float(episode.won))
        self._finished = []
        restarts = self.env.game_restarts - self._restarts_told
        self._restarts_told += restarts
        self.metrics.log_value(keys.GAME_RESTARTS, restarts, reduce="sum")
        self.metrics.log_value(keys.GAMES_DROPPED, self._dropped, reduce="sum")
        self._dropped = 0
        if not self.config.in_evaluation:
            played = self.num_env_steps_sampled_lifetime
            epsilon = self._epsilon(played) if self.config.explore else 0.0
            self.metrics.log_value(keys.EPSILON, epsilon, reduce="min")
        return self.metrics.reduce()
