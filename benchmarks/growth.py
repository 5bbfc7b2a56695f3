"""What more agents, games, steps and env runners cost."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from functools import partial

from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.tune.registry import register_env

from benchmarks.effort import Effort
from benchmarks.sampler import team_runner
from benchmarks.teams import DummyBatch, Size, random_episodes
from benchmarks.turns import Row, Spread, Work, rates, ratios, take_turns
from benchmarks.updaters import build_learner, package_loss, updater
from rllib_qatten import QattenConfig
from rllib_qatten.envs.battles.smax import installed

AGENTS = 3, 9, 27
GAMES = 1, 8, 64, 512
LENGTHS = 60, 150, 400
RUNNERS = 1, 2, 4


def tasks(size: Size, effort: Effort) -> list[tuple[str, Callable[[], list[Row]]]]:
    """What is measured, by name; numbers stay small when tiny."""
    games, lengths, runners = GAMES, LENGTHS, RUNNERS
    if effort.tiny:
        games, lengths, runners = (1, 4), (7, 14), (1,)
    elif effort.quick:
        games, lengths = GAMES[::3], LENGTHS[::2]
    return [
        ("agents", partial(agents, size, effort)),
        ("games", partial(games_at_once, size, games, effort)),
        ("episode length", partial(length, size, lengths, effort)),
        ("env runners", partial(env_runners, size, runners, effort)),
    ]


def _update(size: Size) -> Work:
    """Qatten's bare update of full episodes; a unit of work is one env step trained on."""
    config = QattenConfig()
    module = build_learner(config, size).module[DEFAULT_MODULE_ID]
    work = updater(config, module, package_loss(config, random_episodes(size, ragged=False)))
    return lambda: work() * size.batch * size.steps


def _rows(
    contenders: dict[str, Work], what: str, effort: Effort, clocks: dict[str, str] | None = None
) -> list[Row]:
    """Speeds of all, and how many times the first one's."""
    taken = take_turns(contenders, min(effort.rounds, 5), effort.seconds)
    clocks = clocks or dict.fromkeys(contenders, "cpu")
    speeds = {name: rates(turns, clocks[name]) for name, turns in taken.items()}
    first = next(iter(speeds))
    return [
        Row(
            "growth", name, f"{what} ({clocks[name]})", Spread.of(speed),
            ratio=None if name == first else ratios(speed, speeds[first]),
            against="" if name == first else first,
        )
        for name, speed in speeds.items()
    ]  # fmt: skip


def agents(size: Size, effort: Effort) -> list[Row]:
    """Sampling and updates of 3s5z's sizes but for the number of agents."""
    contenders, updates = {}, {}
    for n in AGENTS:
        team = dataclasses.replace(size, agents=n, state=max(size.state, n * size.unit))
        contenders[f"sampler, {n} agents"] = team_runner(DummyBatch, {"size": team}, size.games)
        updates[f"update, {n} agents"] = _update(team)
    rows = _rows(contenders, "env steps/s", effort)
    return rows + _rows(updates, "env steps trained/s", effort)


def games_at_once(size: Size, games: tuple[int, ...], effort: Effort) -> list[Row]:
    """Sampling by the number of games, of ready arrays and of SMAX."""
    dummies = {f"sampler, {g} games": team_runner(DummyBatch, {"size": size}, g) for g in games}
    rows = _rows(dummies, "env steps/s", effort)
    if not effort.tiny and installed():
        smax = {"map_name": "3s5z", "engine": "smax"}
        battles = {f"sampler, {g} games of SMAX 3s5z": team_runner("smac", smax, g) for g in games}
        rows += _rows(battles, "env steps/s", effort, dict.fromkeys(battles, "wall"))
    return rows


def length(size: Size, lengths: tuple[int, ...], effort: Effort) -> list[Row]:
    """Updates by the length of their episodes."""
    sizes = {f"update, {t} steps": dataclasses.replace(size, steps=t) for t in lengths}
    updates = {name: _update(longer) for name, longer in sizes.items()}
    return _rows(updates, "env steps trained/s", effort)


def env_runners(size: Size, runners: tuple[int, ...], effort: Effort) -> list[Row]:
    """Sampling through remote env runners, episodes brought to this process."""
    register_env("benchmark_batch", DummyBatch)
    algorithms = {}
    try:
        works = {}
        for number in runners:
            config = QattenConfig().environment("benchmark_batch", env_config={"size": size})
            config.env_runners(num_env_runners=number, num_envs_per_env_runner=32)
            config.debugging(log_level="ERROR").evaluation(evaluation_interval=None)
            algorithms[number] = config.build_algo()
            # The process that learns waits meanwhile, but it takes in the episodes.
            crowded = ", oversubscribed" if number >= (os.cpu_count() or 1) else ""
            works[f"sampler, {number} env runners{crowded}"] = _remote(algorithms[number])
        return _rows(works, "env steps/s", effort, dict.fromkeys(works, "wall"))
    finally:
        for algorithm in algorithms.values():
            algorithm.stop()


def _remote(algorithm: object) -> Work:
    def play() -> float:
        episodes, _ = synchronous_parallel_sample(
            worker_set=algorithm.env_runner_group,
            concat=True,
            sample_timeout_s=600.0,
            _uses_new_env_runners=True,
            _return_metrics=True,
        )
        return sum(len(episode) for episode in episodes)

    return play
