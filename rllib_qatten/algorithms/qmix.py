"""QMIX: the algorithm that owns the loop."""

from __future__ import annotations

import sys
import time
from typing import Any

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
    REPLAY_BUFFER_SAMPLE_TIMER,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TD_ERROR_KEY,
    TIMERS,
)
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger

from rllib_qatten import metrics as keys
from rllib_qatten.algorithms.qmix_config import QMIXConfig
from rllib_qatten.algorithms.resume import ResumableAlgorithm
from rllib_qatten.envs import EngineFailed
from rllib_qatten.rollout.episode import assert_finite
from rllib_qatten.rollout.replay import Drawn, predicted_bytes


class QMIX(ResumableAlgorithm):
    """Plays whole episodes, keeps them, and learns from batches of them."""

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> QMIXConfig:
        """See base class."""
        return QMIXConfig(cls)

    @override(Algorithm)
    def setup(self, config: QMIXConfig) -> None:
        """Adds the replay, before callbacks may restore a checkpoint into it."""
        self.replay = config.build_replay()
        self._updates_done = 0
        super().setup(config)
        spec = self.spec
        size = predicted_bytes(spec, config.replay_capacity_episodes)
        expected = (
            "of a size not known beforehand" if size is None else f"at most {size / 2**30:.2f} GiB"
        )
        print(
            f"{config.name} on {spec.engine}: {spec.n_agents} agents, {spec.n_actions} actions, "
            f"state from the {spec.state_source}; replay of {config.replay_capacity_episodes} "
            f"games, {expected}.",
            file=sys.stderr,
            flush=True,
        )

    @override(Algorithm)
    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Becomes another trial in the same process, as Tune's `reuse_actors` asks."""
        self.cleanup()
        config = self.get_default_config().update_from_dict(new_config)
        config.validate()
        config.freeze()
        # What else RLlib's constructor makes of a config.
        self._env_id, self.env_creator = self._get_env_id_and_creator(config.env, config)
        self.metrics = MetricsLogger(root=True, stats_cls_lookup=config.stats_cls_lookup)
        self.eval_env_runner_group = None
        self.config = config
        self.setup(config)
        return True

    @override(Algorithm)
    def step(self) -> dict[str, Any]:
        """One iteration; its result also says what played the games, and how fast all went."""
        every = self.config.evaluation_interval
        evaluates = bool(every) and (self.iteration + 1) % every == 0
        started, updates = time.perf_counter(), self._updates_done
        result = super().step()
        if every and not evaluates:
            # RLlib repeats the last evaluation; the keys must stay, or CSV files lose the columns.
            names = [keys.EPISODE_RETURN_MEAN, keys.EPISODE_LEN_MEAN]
            names += [keys.WIN_RATE] if self.spec.is_battle else []
            names += [NUM_EPISODES, keys.GAME_RESTARTS, keys.GAMES_DROPPED]
            nothing = dict.fromkeys(names, float("nan"))
            result[keys.EVALUATION] = {keys.ENV_RUNNERS: nothing}
        seconds = time.perf_counter() - started
        played = result[ENV_RUNNER_RESULTS][NUM_ENV_STEPS_SAMPLED]
        result[keys.ENGINE] = self.spec.engine
        result[keys.RECIPE] = self.config.recipe
        result[keys.ENV_STEPS_PER_SECOND] = played / seconds
        result[keys.UPDATES_PER_SECOND] = (self._updates_done - updates) / seconds
        return result

    @override(Algorithm)
    def training_step(self) -> None:
        """One round: play, store, as many updates as the games earned, new weights to runners."""
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            episodes, results = synchronous_parallel_sample(
                worker_set=self.env_runner_group,
                concat=True,
                sample_timeout_s=self.config.sample_timeout_s,
                _uses_new_env_runners=True,
                _return_metrics=True,
            )
        self.metrics.aggregate(results, key=ENV_RUNNER_RESULTS)
        for episode in episodes:
            if isinstance(episode, EngineFailed):
                raise episode
            # Here and not in the runner: what a remote one raises, RLlib would restart and repeat.
            assert_finite(episode, self.spec.engine)
        self.replay.add(episodes)
        self.metrics.log_value(keys.REPLAY_EPISODES, len(self.replay), reduce="max")
        self.metrics.log_value(keys.REPLAY_BYTES, self.replay.nbytes, reduce="max")
        batch_size = self.config.train_batch_size_episodes
        if len(self.replay) < batch_size:
            return
        finished = sum(not episode.dropped for episode in episodes)
        self._updates_due += finished * self.config.updates_per_episode
        updates = int(self._updates_due)
        if not updates:
            return
        self._updates_due -= updates
        timesteps = self._played
        for _ in range(updates):
            with self.metrics.log_time((TIMERS, REPLAY_BUFFER_SAMPLE_TIMER)):
                drawn = self.replay.sample(batch_size, timesteps[NUM_ENV_STEPS_SAMPLED_LIFETIME])
            shares = drawn.dealt(max(1, self.config.num_learners))
            with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
                learned = self.learner_group.update(**training_data(shares), timesteps=timesteps)
            if self.config.replay == "prioritized":
                # Taken out: these are no results to report.
                errors = [r[DEFAULT_MODULE_ID].pop(TD_ERROR_KEY).peek() for r in learned]
                indices = np.concatenate([share.indices for share in shares])
                self.replay.update_priorities(indices, np.concatenate(errors, axis=None))
            self.metrics.aggregate(learned, key=LEARNER_RESULTS)
        self._updates_done += updates
        self.metrics.log_value(keys.NUM_UPDATES, updates, reduce="lifetime_sum")
        with self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
            self.env_runner_group.sync_weights(
                from_worker_or_learner_group=self.learner_group, inference_only=True
            )


def training_data(shares: list[Drawn]) -> dict[str, Any]:
    """One learner's share each, as `LearnerGroup.update` takes them.

    Of a list of episodes RLlib would cut some in two, to share their steps evenly; of a list of
    references each learner gets its own.
    """
    if len(shares) == 1:
        return {"episodes": shares[0].episodes}
    return {"episodes_refs": [ray.put(share.episodes) for share in shares]}
