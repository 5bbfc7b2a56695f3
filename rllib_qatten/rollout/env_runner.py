"""The env runner: plays teams in lockstep and returns whole episodes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_AGENT_ID, DEFAULT_MODULE_ID
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import (
    NUM_AGENT_STEPS_SAMPLED,
    NUM_AGENT_STEPS_SAMPLED_LIFETIME,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES,
    NUM_EPISODES_LIFETIME,
    NUM_MODULE_STEPS_SAMPLED,
    NUM_MODULE_STEPS_SAMPLED_LIFETIME,
    WEIGHTS_SEQ_NO,
)

from rllib_qatten import columns, keys
from rllib_qatten.envs import EnvRules, TeamStep, TeamVector, make_teams
from rllib_qatten.hardware.machine import freest_core
from rllib_qatten.hardware.threads import torch_threads
from rllib_qatten.messages import say
from rllib_qatten.rollout import global_rng
from rllib_qatten.rollout.callbacks import EpisodeCallbacks
from rllib_qatten.rollout.episode import TeamEpisode
from rllib_qatten.rollout.exploration import EpsilonSchedule
from rllib_qatten.rollout.failure import Failure, in_few_attempts
from rllib_qatten.rollout.games_under_way import GamesUnderWay
from rllib_qatten.rollout.quotas import play_shares

#: RLlib's counters of a round and of a lifetime: what of, and how they add up.
STEPS_SAMPLED = (
    NUM_ENV_STEPS_SAMPLED,
    (NUM_AGENT_STEPS_SAMPLED, DEFAULT_AGENT_ID),
    (NUM_MODULE_STEPS_SAMPLED, DEFAULT_MODULE_ID),
)
STEPS_SAMPLED_LIFETIME = (
    (NUM_AGENT_STEPS_SAMPLED_LIFETIME, DEFAULT_AGENT_ID),
    (NUM_MODULE_STEPS_SAMPLED_LIFETIME, DEFAULT_MODULE_ID),
)


class TeamEnvRunner(SingleAgentEnvRunner):
    """Plays G games of a team with one network call per step for all G*N agents.

    To RLlib a team is one agent, so that state, weights, counters and fault tolerance are those of
    `SingleAgentEnvRunner`. Replaced are the environment (a `TeamVector`), the sampling loop (arrays
    instead of episode objects per step) and the metrics per episode. RLlib's callbacks of episodes
    and steps get a `TeamGame` per game, which costs nothing where none of them is used.
    """

    def __init__(self, *, config: AlgorithmConfig, **kwargs: Any) -> None:
        """See base class."""
        # Before the base class makes the env, which may change its settings.
        worker_index = kwargs.get("worker_index") or 0
        self.games = GamesUnderWay(_seed(config, worker_index), config)
        with in_few_attempts(worker_index) if worker_index else contextlib.nullcontext():
            super().__init__(config=config, **kwargs)
        self._epsilon = EpsilonSchedule(config.epsilon)
        self._finished: list[TeamEpisode] = []
        #: Whether the next call begins all games anew, as with `force_reset`.
        self.begins_anew = False
        #: Why the last evaluation failed, for `StopsForEvaluation`.
        self.failure: Failure | None = None

    @override(SingleAgentEnvRunner)
    def make_env(self) -> None:
        """Makes the games; a remote runner of a threaded engine keeps to one core.

        May be called again after a change of `config.env_config`.

        Raises:
            ValueError: If the team's sizes then differ from its policy's.
        """
        config, before = self.config, self.env.spec if self.env is not None else None
        if self.env is not None:
            self.env.close()
        context = EnvContext(
            config.env_config, worker_index=self.worker_index or 0, num_workers=self.num_workers
        )
        remote_timeout = (
            config.evaluation_sample_timeout_s if config.in_evaluation else config.sample_timeout_s
        )
        # RLlib would restart the whole env runner and lose all of its games, and a minute.
        restarts = bool(self.worker_index) and config.restart_failed_env_runners
        rules = EnvRules(
            restart_failed=restarts or config.restart_failed_sub_environments,
            max_episode_steps=config.max_episode_steps,
            hang_timeout_s=remote_timeout if self.worker_index else None,
        )
        self.env: TeamVector = make_teams(
            config.env, context, config.num_envs_per_env_runner, config.team_reward, rules
        )
        if before is not None and (sizes := _sizes(self.env.spec)) != _sizes(before):
            self.env.close()
            message = f"The env was made anew with {sizes}; the policy is for {_sizes(before)}."
            say(message)  # of a remote runner, RLlib would but log what is raised
            raise ValueError(message)
        self.env.asked_by_all = _games_of_run(config)
        self.num_envs = self.env.num_games
        # RLlib's own list: on_sample_end, which it calls itself, is to reach the same objects.
        callbacks = EpisodeCallbacks(self, self._callbacks)
        self.games.play_in(self.env, callbacks)
        self._restarts_reported = 0
        if self.env.one_core and self.worker_index and hasattr(os, "sched_setaffinity"):
            core = freest_core(self.worker_index - 1)
            for thread in os.listdir("/proc/self/task"):  # the engine has started its own
                with contextlib.suppress(ProcessLookupError):  # one may end meanwhile
                    os.sched_setaffinity(int(thread), {core})
        callbacks.environment_created(self.env, context)

    def get_games(self) -> dict[str, Any]:
        """The games under way and all that they draw from, for an exact resume.

        Not part of `get_state`: RLlib hands that from one env runner to others.
        """
        return {
            "worker_index": self.worker_index or 0,
            "env_steps": self.num_env_steps_sampled_lifetime,
            "global_rng": global_rng.get_state(),
            **self.games.get_state(),
        }

    def set_games(self, state: dict[str, Any] | None, env_steps: int) -> str:
        """Continues saved games, or starts new ones if they do not fit.

        Args:
            state: What `get_games` of the runner with this index gave; None if there was none.
            env_steps: Steps that were played for training, for a runner that was not there.

        Returns:
            Why the games start over; empty if they do not.
        """
        self.num_env_steps_sampled_lifetime = state["env_steps"] if state else env_steps
        if state:
            self.games.set_exploration(state)
            global_rng.set_state(state["global_rng"])
        if self.env is None or (state and not state["begun"]):
            return ""
        why = self.games.go_on(state["games"]) if state else "other env runners played there"
        if why:
            self.games.begin_others(env_steps)
        return why

    @override(SingleAgentEnvRunner)
    def set_state(self, state: dict[str, Any]) -> None:
        """See base class, which would keep its weights if the new ones are of fewer updates."""
        super().set_state({**state, WEIGHTS_SEQ_NO: 0})
        super().set_state(state)  # for their number

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
    def sample(self, **kwargs: Any) -> Sequence[TeamEpisode | Failure]:
        """Plays until enough games have ended.

        In training, games continue from call to call and `num_episodes` is a minimum. In evaluation
        all games restart and exactly `num_episodes` are played, each slot its fixed share: to
        take the first that end would favor short games.

        Args:
            **kwargs: See base class.

        Returns:
            The episodes; or, from a remote runner, why it cannot play: an error of the env, of a
            callback, or of the engine. Where RLlib may do without runners that fail
            (`ignore_env_runner_failures`), it is raised instead.
        """
        try:
            with torch_threads():
                episodes: list[TeamEpisode] = super().sample(**kwargs)
        except Exception as error:
            self.games.begin_others(self.num_env_steps_sampled_lifetime)
            lost = self.config.ignore_env_runner_failures
            if self.worker_index and lost and not self.config.restart_failed_env_runners:
                say(f"Env runner {self.worker_index} ends, the others go on: {error}")
                raise
            if not self.worker_index:
                raise
            # RLlib asks again while there are no steps, in evaluation while there are no games.
            self._count(1, kwargs.get("num_episodes") or 0)
            if self.config.in_evaluation:
                self.failure = Failure(error, self.worker_index)
                self.metrics.log_value(keys.ENV_RUNNERS_FAILED, 1, reduce="sum")
            return [Failure(error, self.worker_index)]
        for episode in episodes:
            episode.custom_data = None  # too much to keep in the replay
        return episodes

    @override(SingleAgentEnvRunner)
    def _sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> Sequence[TeamEpisode]:
        exact = self.config.in_evaluation and num_episodes is not None
        if force_reset or exact or self.begins_anew or not self.games.begun:
            self.begins_anew = False
            slots = num_episodes if exact else None
            self.games.begin(self.module.get_initial_state()[columns.HIDDEN], slots)
        explored = 1.0 if random_actions else None if explore else 0.0
        if exact:
            steps, episodes = play_shares(
                lambda steps, left: self._play(explored, steps, left),
                self.num_envs,
                num_episodes or 0,
            )
        else:
            steps, episodes = self._play_on(num_timesteps or 0, num_episodes or 0, explored)
        finished = [episode for episode in episodes if not episode.dropped]
        self._finished += finished
        self._count(steps, len(finished))
        self.num_env_steps_sampled_lifetime += self._trained(steps)
        return episodes

    def _play_on(
        self, num_timesteps: int, num_episodes: int, epsilon: float | None
    ) -> tuple[int, list[TeamEpisode]]:
        """Continues all games until this many steps are played and this many games have ended."""
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

    def _play(
        self, epsilon: float | None, steps: int, left: np.ndarray | None = None
    ) -> tuple[TeamStep, list[TeamEpisode]]:
        """One step of all games; epsilon None takes the schedule's, after `steps` in this call."""
        if epsilon is None:
            epsilon = self._epsilon(self.num_env_steps_sampled_lifetime + self._trained(steps))
        return self.games.play(self.module, epsilon, left)

    def _trained(self, steps: int) -> int:
        """Steps that all env runners have played for training while this one played so many."""
        return 0 if self.config.in_evaluation else steps * max(1, self.num_workers)

    def _count(self, steps: int, episodes: int) -> None:
        """Counts what was sampled, under RLlib's keys."""
        log = self.metrics.log_value
        for key in STEPS_SAMPLED:
            log(key, steps, reduce="sum")
        log(NUM_EPISODES, episodes, reduce="sum")
        log(NUM_ENV_STEPS_SAMPLED_LIFETIME, steps, reduce="lifetime_sum", with_throughput=True)
        for key in STEPS_SAMPLED_LIFETIME:
            log(key, steps, reduce="lifetime_sum")
        log(NUM_EPISODES_LIFETIME, episodes, reduce="lifetime_sum")

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
        restarts = self.env.game_restarts - self._restarts_reported
        self._restarts_reported += restarts
        self.metrics.log_value(keys.GAME_RESTARTS, restarts, reduce="sum")
        self.metrics.log_value(keys.GAMES_DROPPED, self.games.dropped, reduce="sum")
        self.games.dropped = 0
        if not self.config.in_evaluation:
            played = self.num_env_steps_sampled_lifetime
            epsilon = self._epsilon(played) if self.config.explore else 0.0
            self.metrics.log_value(keys.EPSILON, epsilon, reduce="min")
        return self.metrics.reduce()


def _seed(config: AlgorithmConfig, worker_index: int) -> int | None:
    """The seed of a runner's games and exploration, evaluation's apart from training's.

    RLlib adds the index to the seed, so that the first of two runners would play in a run with
    seed 2 what the second one played with seed 1.
    """
    if config.seed is None:
        return None
    seed = config.seed + 1_000_000 * config.in_evaluation
    if not worker_index:
        return seed
    return int(np.random.SeedSequence([seed, worker_index]).generate_state(1)[0])


def _games_of_run(config: AlgorithmConfig) -> list[int]:
    """Games of every env runner that plays beside this one; none is known to an evaluation's."""
    if config.in_evaluation:
        return []
    configs = [config]
    if config.evaluation_interval:
        configs.append(config.get_evaluation_config_object())
    return [c.num_envs_per_env_runner for c in configs for _ in range(max(1, c.num_env_runners))]


def _sizes(spec: Any) -> str:
    return (
        f"{spec.n_agents} agents, {spec.n_actions} actions, observations of length "
        f"{spec.observation_size} and a state of length {spec.state_size}"
    )
