"""Env steps per second of `Algorithm.train()`: playing, replay, learning and evaluation."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
)

from benchmarks.turns import Row, Spread, rates, ratios, take_turns
from rllib_qatten import QattenConfig, keys
from rllib_qatten.algorithms.qmix import QMIX
from rllib_qatten.envs.battles.smax import installed

#: Ways to share the work between processes; the first is what the others are compared with.
WAYS: dict[str, dict[str, Any]] = {
    "lockstep in one process": {},
    "lockstep, 1 env runner": {"num_env_runners": 1},
    "overlapped, 1 env runner": {"num_env_runners": 1, "sampling": "overlapped"},
    "... and evaluation in parallel": {
        "num_env_runners": 1,
        "sampling": "overlapped",
        "evaluation_num_env_runners": 1,
        "evaluation_parallel_to_training": True,
    },
}


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


def compare_ways(config: QattenConfig, label: str, rounds: int) -> list[Row]:
    """Trains an iteration in each of the `WAYS` in turn; the first round does not count."""
    algorithms: dict[str, QMIX] = {}
    try:
        for name, settings in WAYS.items():
            ours = config.copy(copy_frozen=False).update_from_dict(settings)
            ours.num_cpus_per_env_runner = 0  # all ways are here at once, and take turns
            algorithms[name] = ours.build_algo()
        contenders = {name: partial(_steps, algorithm) for name, algorithm in algorithms.items()}
        turns = take_turns(contenders, rounds, seconds=0.0)
    finally:
        for algorithm in algorithms.values():
            algorithm.stop()
    speeds = {name: rates(taken, "wall") for name, taken in turns.items()}
    first = next(iter(WAYS))
    return [
        Row(
            "train",
            f"{label}, {name}",
            "env steps/s (wall)",
            Spread.of(speed),
            None if name == first else ratios(speed, speeds[first]),
            "" if name == first else first,
        )
        for name, speed in speeds.items()
    ]


def run(name: str, tiny: bool, quick: bool) -> list[Row]:
    """Measures a map of SMAX if installed; when tiny, a few steps of the two-step game.

    The ways to share the work are compared on 3s5z.
    """
    label, iterations = f"Qatten on SMAX {name}", 1 if tiny or quick else 5
    if tiny:
        label = "Qatten on two_step_game"
        config = qatten("two_step_game", {}, games=2, batch=4)
        config.evaluation(evaluation_duration=2)
        config.min_sample_timesteps_per_iteration = 40
    elif not installed():
        return [Row("train", label, "", None, note="needs the extra smax")]
    else:
        config = qatten("smac", {"map_name": name, "engine": "smax"}, games=32, batch=32)
        if name == "27m_vs_30m":  # where a step takes ten times as long as on 3s5z
            config.min_sample_timesteps_per_iteration = 2_000
            config.evaluation(evaluation_duration=8)
    rows = measure(config, label, iterations)
    if tiny or name == "3s5z":
        rows += compare_ways(config, label, iterations)
    return rows


def _steps(algorithm: QMIX) -> float:
    """Env steps of one iteration."""
    return float(algorithm.train()[ENV_RUNNER_RESULTS][NUM_ENV_STEPS_SAMPLED])


def _counts(result: dict[str, Any]) -> tuple[float, float]:
    """Env steps and updates so far."""
    steps = result[ENV_RUNNER_RESULTS][NUM_ENV_STEPS_SAMPLED_LIFETIME]
    return steps, result.get(keys.NUM_UPDATES, 0)
