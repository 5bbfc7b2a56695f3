"""The algorithm that owns the training loop; a subclass supplies config and policy."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import numpy as np
import ray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES,
    NUM_EPISODES_LIFETIME,
    REPLAY_BUFFER_SAMPLE_TIMER,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TD_ERROR_KEY,
    TIMERS,
    WEIGHTS_SEQ_NO,
)
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger

from rllib_qatten import keys
from rllib_qatten.algorithms.cluster import say_what_is_lacking
from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.custom_evaluation import CustomEvaluation
from rllib_qatten.algorithms.init_from import InitFrom
from rllib_qatten.algorithms.layered_config import another_policy
from rllib_qatten.algorithms.live import COMPILING, LEARNING, PLAYING, LiveAlgorithm
from rllib_qatten.algorithms.old_api_stack import OldAPIStack
from rllib_qatten.algorithms.own_env_runner import OwnEnvRunner
from rllib_qatten.algorithms.parallel_evaluation import ParallelEvaluation
from rllib_qatten.algorithms.refusals import check_env, check_gpus
from rllib_qatten.hardware.machine import available_memory, gigabytes
from rllib_qatten.messages import say
from rllib_qatten.rollout.env_runner import TeamEnvRunner
from rllib_qatten.rollout.episode import assert_finite
from rllib_qatten.rollout.failure import (
    Failure,
    Silence,
    StopsForEvaluation,
    assert_built,
    group_of,
)
from rllib_qatten.rollout.replay import Drawn, predicted_bytes
from rllib_qatten.training.effective_weights import report, unlearned

#: Requests to env runners for a round of games.
PLAY = "play"


class ValueDecomposition(
    LiveAlgorithm, ParallelEvaluation, CustomEvaluation, OldAPIStack, InitFrom, OwnEnvRunner
):
    """Plays whole episodes, stores them, and learns from batches of them.

    A subclass names its config; the config names the policy.
    """

    config_class: ClassVar[type[ValueDecompositionConfig]] = ValueDecompositionConfig

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """A config built on its own, `QMIXConfig()`, belongs to the algorithm that names it."""
        super().__init_subclass__(**kwargs)
        known = ValueDecompositionConfig.algorithms
        # One that is derived from the algorithm that it shares a config with leaves it to that.
        if "config_class" in vars(cls) and not issubclass(cls, known.get(cls.config_class, ())):
            known[cls.config_class] = cls

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> ValueDecompositionConfig:
        """The algorithm's own settings."""
        return cls.config_class(cls)

    def _assert_takes(self, config: ValueDecompositionConfig) -> None:
        """Refuses another algorithm's config: its policy, with another mixer, would be trained."""
        known, own = config.algorithms, self.config_class
        theirs = next((known[kind] for kind in type(config).__mro__ if kind in known), object)
        if type(config) is not own and own in known and not isinstance(self, theirs):
            raise another_policy(config.policy_name(), type(self).__name__, own.policy_name())

    @override(Algorithm)
    def setup(self, config: ValueDecompositionConfig) -> None:
        """Adds the replay, before callbacks may restore a checkpoint into it."""
        for each in (config, self.config):  # frozen; RLlib's constructor forgets it
            object.__setattr__(each, "algo_class", type(self))
        self._assert_takes(config)
        check_env(config.env)
        check_gpus(config)
        say_what_is_lacking(type(self), config)
        self.replay = config.build_replay()
        self._updates_done, self._updates_due = 0, 0.0  # another trial's, with `reuse_actors`
        self._silence = Silence(config.sample_timeout_s)
        try:
            super().setup(config)
        except IndexError as error:
            assert_built(group_of(error), config)
            raise
        for group in (self.env_runner_group, self.eval_env_runner_group):
            assert_built(group, config)
        self.callbacks.append(StopsForEvaluation())
        spec = self.spec
        size = predicted_bytes(spec, config.replay_capacity_episodes)
        expected = "of unknown size" if size is None else f"at most {gigabytes(size)}"
        if size is not None and size > (free := available_memory()):
            expected += (
                f", more than the {gigabytes(free)} that are free: if it runs out of memory, "
                "lower replay_capacity_episodes"
            )
        say(
            f"{config.name} on {spec.engine}: {spec.n_agents} agents, {spec.n_actions} actions, "
            f"state from the {spec.state_source}; replay of {config.replay_capacity_episodes} "
            f"games, {expected}."
        )
        if config.standardize_rewards:
            say(
                "standardize_rewards takes the mean of all rewards away, so that steps which cost "
                "less than usual count as gains: if the team decides how long its games last, "
                "scale the rewards in the env instead."
            )

    @override(Algorithm)
    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Becomes another trial in the same process, for Tune's `reuse_actors`."""
        self.cleanup()
        config = self.get_default_config().update_from_dict(new_config)
        config.validate()
        config.freeze()
        # What else RLlib's constructor derives from a config.
        self._env_id, self.env_creator = self._get_env_id_and_creator(config.env, config)
        self.metrics = MetricsLogger(root=True, stats_cls_lookup=config.stats_cls_lookup)
        self.eval_env_runner_group = None
        self.config = config
        self.setup(config)
        return True

    @override(Algorithm)
    def step(self) -> dict[str, Any]:
        """One iteration; the result also has the engine that played the games, and speeds."""
        every = self.config.evaluation_interval
        started, updates, evaluated = time.perf_counter(), self._updates_done, self._evaluated
        result = super().step()
        # The keys must be in every result, or CSV files lose the columns.
        result.setdefault(keys.NUM_UPDATES, 0)
        learned = result.setdefault(LEARNER_RESULTS, {}).setdefault(DEFAULT_MODULE_ID, {})
        # Learners have the same weights.
        if self._updates_done > updates:
            # Once per iteration: it costs a third of an update.
            more, *_ = self.learner_group.foreach_learner(report, episodes=self._last_batch)
        else:
            more, *_ = self.learner_group.foreach_learner(unlearned)
        result[LEARNER_RESULTS][DEFAULT_MODULE_ID] = more.get() | learned
        if self._evaluated == evaluated:
            # RLlib repeats the last evaluation, even if this one's env runners died.
            result.pop(keys.EVALUATION, None)
            if every:  # else no result has the keys
                result[keys.EVALUATION] = self._no_evaluation()
        seconds = time.perf_counter() - started
        played = result[ENV_RUNNER_RESULTS][NUM_ENV_STEPS_SAMPLED]
        result[keys.ENGINE] = self.spec.engine
        result[keys.RECIPE] = self.config.recipe
        result[keys.ENV_STEPS_PER_SECOND] = played / seconds
        result[keys.UPDATES_PER_SECOND] = (self._updates_done - updates) / seconds
        return result

    def _no_evaluation(self) -> dict[str, Any]:
        """The results of an iteration without an evaluation."""
        if self.config.custom_evaluation_function:
            return self._no_custom_evaluation()
        names = [keys.EPISODE_RETURN_MEAN, keys.EPISODE_LEN_MEAN]
        names += [keys.WIN_RATE] if self.spec.is_battle else []
        names += [NUM_EPISODES, keys.GAME_RESTARTS, keys.GAMES_DROPPED]
        return {keys.ENV_RUNNERS: dict.fromkeys(names, float("nan"))}

    @property
    def _evaluated(self) -> int:
        """Greedy games so far, or evaluations by the user's own function."""
        if self.config.custom_evaluation_function:
            return self._custom_evaluations
        games = keys.EVALUATION, keys.ENV_RUNNERS, NUM_EPISODES_LIFETIME
        return int(self.metrics.peek(games, default=0))

    @override(Algorithm)
    def training_step(self) -> None:
        """One round: play, store, do the updates due for these games, send weights to env runners.

        Overlapped, the updates are those due for earlier rounds, and the round is played while
        they run. Only the games of an env runner that is late are still under way after a round.
        """
        if self.config.sampling == "overlapped":
            self.env_runner_group.foreach_env_runner_async(_play, tag=PLAY)
            updates = self._learn()
            self._store(*self._collected())
        else:
            self._store(*self._sampled())
            updates = self._learn()
        if updates:
            with self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
                self.env_runner_group.sync_weights(
                    from_worker_or_learner_group=self.learner_group, inference_only=True
                )

    def _sampled(self) -> tuple[list[Any], list[Any]]:
        """Plays a round; what the env runners return, and their metrics."""
        games = getattr(self.env_runner, "env", None)
        first = not len(self.replay) and games is not None and games.compiles
        self.note(COMPILING if first else PLAYING)
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            episodes, results = synchronous_parallel_sample(
                worker_set=self.env_runner_group,
                concat=True,
                sample_timeout_s=self.config.sample_timeout_s,
                _uses_new_env_runners=True,
                _return_metrics=True,
            )
        return episodes, results

    def _collected(self) -> tuple[list[Any], list[Any]]:
        """Waits for a round under way; a late env runner's games are returned with a later one."""
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            played = self.env_runner_group.fetch_ready_async_reqs(
                tags=PLAY, timeout_seconds=self.config.sample_timeout_s
            )
        episodes = [episode for _, (games, _) in played for episode in games]
        return episodes, [results for _, (_, results) in played]

    def _store(self, episodes: list[Any], results: list[Any]) -> None:
        """Checks and stores a round's games; updates become due for them."""
        self._silence.heard(bool(results), self.env_runner_group)
        self.metrics.aggregate(results, key=ENV_RUNNER_RESULTS)
        updates = self.metrics.peek(keys.NUM_UPDATES, default=0)
        for result in results:
            # RLlib's Learner numbers its weights by its updates.
            staleness = int(updates) - int(result[WEIGHTS_SEQ_NO].peek())
            self.metrics.log_value(keys.STALENESS, staleness, reduce="max")
        for episode in episodes:
            if isinstance(episode, Failure):
                raise episode.error
            # Not in the env runner: RLlib would restart a remote one that raises, and repeat.
            assert_finite(episode, self.spec.engine)
        self.replay.add(episodes)
        self.metrics.log_value(keys.REPLAY_EPISODES, len(self.replay), reduce="max")
        self.metrics.log_value(keys.REPLAY_BYTES, self.replay.nbytes, reduce="max")
        if len(self.replay) >= self.config.train_batch_size_episodes:
            finished = sum(not episode.dropped for episode in episodes)
            self._updates_due += finished * self.config.updates_per_episode

    def _learn(self) -> int:
        """Does the updates that are due; returns their number."""
        batch_size = self.config.train_batch_size_episodes
        updates = int(self._updates_due)
        if not updates or len(self.replay) < batch_size:
            return 0
        self.may_update.wait()
        self.note(LEARNING)
        self._updates_due -= updates
        timesteps = self._played
        prioritized = self.config.replay == "prioritized"
        for following in reversed(range(updates)):
            with self.metrics.log_time((TIMERS, REPLAY_BUFFER_SAMPLE_TIMER)):
                drawn = self.replay.sample(batch_size, timesteps[NUM_ENV_STEPS_SAMPLED_LIFETIME])
            shares = drawn.dealt(max(1, self.config.num_learners))
            reported = prioritized or not following  # all but the last would be overwritten
            with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
                learned = self.learner_group.update(
                    **training_data(shares), timesteps=timesteps, statistics=reported
                )
            if prioritized:
                # Removed: these are not results to report.
                errors = [r[DEFAULT_MODULE_ID].pop(TD_ERROR_KEY).peek() for r in learned]
                indices = np.concatenate([share.indices for share in shares])
                self.replay.update_priorities(indices, np.concatenate(errors, axis=None))
            if reported:
                self.metrics.aggregate(learned, key=LEARNER_RESULTS)
        self._last_batch = drawn.episodes
        self._updates_done += updates
        self.metrics.log_value(keys.NUM_UPDATES, updates, reduce="lifetime_sum")
        return updates


def _play(runner: TeamEnvRunner) -> tuple[Any, dict[str, Any]]:
    return runner.sample(), runner.get_metrics()


def training_data(shares: list[Drawn]) -> dict[str, Any]:
    """The learners' shares, as arguments of `LearnerGroup.update`.

    RLlib would cut some episodes of a list in two, to share steps evenly; from a list of references
    each learner gets its own.
    """
    if len(shares) == 1:
        return {"episodes": shares[0].episodes}
    return {"episodes_refs": [ray.put(share.episodes) for share in shares]}
