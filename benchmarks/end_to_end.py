"""Env steps per second of `Algorithm.train()`: playing, replay, learning and evaluation."""

from __future__ import annotations

import time
from typing import Any

from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from benchmarks.turns import Row, Spread
from rllib_qatten import QattenConfig
from rllib_qatten.envs.smax import installed
from rllib_qatten.metrics import NUM_UPDATES


class Stopwatch:
    """Adds up the seconds spent in one method of one object."""

    def __init__(self, owner: Any, method: str) -> None:
        """Replaces the object's method by a timed one."""
        self.seconds = 0.0
        timed = getattr(owner, method)

        def call(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return timed(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - begun

        setattr(owner, method, call)


def qatten(env: str, env_config: dict[str, Any], games: int, batch: int) -> QattenConfig:
    """Qatten with one update of `batch` episodes per 8 episodes played, in one process."""
    return (
        QattenConfig()
        .environment(env, env_config=env_config)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=games)
        .training(updates_per_episode=1 / 8, train_batch_size_episodes=batch)
        .debugging(seed=0, log_level="ERROR")
    )


def measure(config: QattenConfig, label: str, iterations: int) -> list[Row]:
    """Trains for some iterations; the first one, which compiles and fills, does not count."""
    algorithm = config.build_algo()
    try:
        watches = {
            "playing": Stopwatch(algorithm.env_runner, "sample"),
            "learning": Stopwatch(algorithm.learner_group, "update"),
            "evaluation": Stopwatch(algorithm, "evaluate"),
        }
        counts = _counts(algorithm.train())
        speeds: list[float] = []
        shares: dict[str, list[float]] = {name: [] for name in [*watches, "the rest"]}
        total, first = 0.0, counts
        for _ in range(iterations):
            before = {name: watch.seconds for name, watch in watches.items()}
            begun = time.perf_counter()
            result = algorithm.train()
            took = time.perf_counter() - begun
            parts = {name: watch.seconds - before[name] for name, watch in watches.items()}
            parts["the rest"] = took - sum(parts.values())
            for name, seconds in parts.items():
                shares[name].append(100 * seconds / took)
            (steps, _), counts = counts, _counts(result)
            speeds.append((counts[0] - steps) / took)
            total += took
    finally:
        algorithm.stop()
    steps, updates = counts[0] - first[0], counts[1] - first[1]
    name = f"{label}: {steps:,.0f} env steps, {updates:.0f} updates, {total:.1f} s"
    rows = [Row("train", name, "env steps/s (wall)", Spread.of(speeds))]
    rows += [Row("train", f"... {n}", "% of time", Spread.of(s)) for n, s in shares.items()]
    return rows


def run(name: str, tiny: bool, quick: bool) -> list[Row]:
    """Measures a map of SMAX if installed; when tiny, a few steps of the two-step game."""
    if tiny:
        config = qatten("two_step_game", {}, games=2, batch=4)
        config.evaluation(evaluation_duration=2)
        config.min_sample_timesteps_per_iteration = 40
        return measure(config, "Qatten on two_step_game", iterations=1)
    if not installed():
        return [Row("train", f"Qatten on SMAX {name}", "", None, note="needs the extra smax")]
    config = qatten("smac", {"map_name": name, "engine": "smax"}, games=32, batch=32)
    iterations = 1 if quick else 5
    if name == "27m_vs_30m":  # where a step takes ten times as long as on 3s5z
        config.min_sample_timesteps_per_iteration = 2_000
        config.evaluation(evaluation_duration=8)
    return measure(config, f"Qatten on SMAX {name}", iterations)


def _counts(result: dict[str, Any]) -> tuple[float, float]:
    """Env steps and updates so far."""
    steps = result[ENV_RUNNER_RESULTS][NUM_ENV_STEPS_SAMPLED_LIFETIME]
    return steps, result.get(NUM_UPDATES, 0)
