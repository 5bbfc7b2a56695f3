"""QMIX: the algorithm that owns the loop."""

from __future__ import annotations

import sys
import time
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import COMPONENT_ENV_RUNNER, DEFAULT_MODULE_ID
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
    TIMERS,
)

from rllib_qatten import metrics as keys
from rllib_qatten.algorithms.qmix_config import QMIXConfig
from rllib_qatten.envs import EngineFailed, TeamSpec
from rllib_qatten.rollout.episode import assert_finite
from rllib_qatten.rollout.replay import EpisodeReplay, predicted_bytes


class QMIX(Algorithm):
    """Plays whole episodes, keeps them, and learns from batches of them."""

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> QMIXConfig:
        """See base class."""
        return QMIXConfig(cls)

    @override(Algorithm)
    def setup(self, config: QMIXConfig) -> None:
        """Adds the replay, before callbacks may restore a checkpoint into it."""
        self.replay = EpisodeReplay(config.replay_capacity_episodes, config.seed)
        # Updates owed for games played; fractions wait for the next games.
        self._updates_due = 0.0
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
    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Adds what the loop itself remembers; the replay's episodes are not in it."""
        state = super().get_state(*args, **kwargs)
        state["loop"] = {
            "updates_due": self._updates_due,
            "time_total_s": self._time_total,
            "replay": self.replay.get_state(),
        }
        return state

    @override(Algorithm)
    def set_state(self, state: dict[str, Any]) -> None:
        """See `get_state`."""
        super().set_state(state)
        if "loop" in state:
            self._updates_due = state["loop"]["updates_due"]
            self._time_total = state["loop"]["time_total_s"]
            self.replay.set_state(state["loop"]["replay"])
        if self.env_runner and COMPONENT_ENV_RUNNER in state:
            # RLlib broadcasts the step count before it restores it: epsilon would start anew.
            self.env_runner.num_env_steps_sampled_lifetime = state[COMPONENT_ENV_RUNNER][
                NUM_ENV_STEPS_SAMPLED_LIFETIME
            ]

    @property
    def spec(self) -> TeamSpec:
        """The team's sizes and names."""
        return self.spaces[DEFAULT_MODULE_ID][0].spec

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
        timesteps = {
            name: int(self.metrics.peek((ENV_RUNNER_RESULTS, name)))
            for name in (NUM_ENV_STEPS_SAMPLED_LIFETIME, NUM_EPISODES_LIFETIME)
        }
        for _ in range(updates):
            with self.metrics.log_time((TIMERS, REPLAY_BUFFER_SAMPLE_TIMER)):
                batch = self.replay.sample(batch_size)
            with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
                learned = self.learner_group.update(episodes=batch, timesteps=timesteps)
            self.metrics.aggregate(learned, key=LEARNER_RESULTS)
        self._updates_done += updates
        self.metrics.log_value(keys.NUM_UPDATES, updates, reduce="lifetime_sum")
        with self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
            self.env_runner_group.sync_weights(
                from_worker_or_learner_group=self.learner_group, inference_only=True
            )
