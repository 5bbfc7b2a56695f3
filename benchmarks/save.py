"""Saving and loading a full replay: what a checkpoint costs beyond the weights."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.fs
from ray.rllib.algorithms.algorithm import Algorithm

from benchmarks.teams import Size, random_episodes
from benchmarks.turns import Row, Spread
from rllib_qatten.checkpoints import folder as checkpoint
from rllib_qatten.checkpoints.replay_file import read_episodes, write_episodes
from rllib_qatten.envs import make_teams
from rllib_qatten.envs.battles.smax import installed
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.rollout.episode import Recorder, TeamEpisode

#: As many as the replay holds.
EPISODES = 5000
ROUNDS = 3
#: Training may stand still for so many seconds.
GOAL = 5.0


def battles(count: int) -> tuple[TeamSpec, list[TeamEpisode]]:
    """Real episodes of SMAX 3s5z, played at random."""
    teams = make_teams("smac", {"map_name": "3s5z", "engine": "smax"}, 32)
    recorder, rng = Recorder(teams.spec, teams.num_games), np.random.default_rng(0)
    view = teams.reset(0)
    recorder.begin(view)
    episodes: list[TeamEpisode] = []
    while len(episodes) < count:
        chances = rng.random(view.legal_actions.shape, np.float32)
        actions = np.where(view.legal_actions, chances, -1).argmax(-1)
        step = teams.step(actions)
        episodes += recorder.record(actions, step)
        view = step.view
    return teams.spec, episodes[:count]


def run(size: Size, tiny: bool) -> list[Row]:
    """Measures on battles, or on a few invented episodes if tiny or without SMAX."""
    if tiny or not installed():
        spec, episodes = size.spec, random_episodes(dataclasses.replace(size, batch=60), True)
    else:
        spec, episodes = battles(EPISODES)
    in_memory = sum(episode.nbytes for episode in episodes)
    seconds: dict[str, list[tuple[float, float]]] = {"save": [], "copy": [], "load": []}
    with tempfile.TemporaryDirectory() as folder:
        saved, kept = Path(folder, "saved"), Path(folder, "kept")
        file = saved / checkpoint.REPLAY

        def save() -> None:
            with checkpoint.replacing(saved, None) as new:
                about = json.dumps(checkpoint.metadata("Qatten"))  # so that the next may replace it
                (new / Algorithm.METADATA_FILE_NAME).write_text(about)
                write_episodes(new / checkpoint.REPLAY, episodes, spec)

        def copy() -> None:
            kept.mkdir(exist_ok=True)
            pyarrow.fs.copy_files(str(saved), str(kept))

        def load() -> None:
            checkpoint.verify_sums(saved)
            list(read_episodes(file, spec))

        for _ in range(ROUNDS):
            for name, work in (("save", save), ("copy", copy), ("load", load)):
                seconds[name].append(_timed(work))
        on_disk = file.stat().st_size

    def megabytes(name: str, n_bytes: int) -> Row:
        return Row("save", name, "MB", Spread.of([n_bytes / 2**20]))

    def row(name: str, kind: int, times: list[tuple[float, float]]) -> Row:
        unit = ("s (wall)", "s (cpu)")[kind]
        return Row("save", name, unit, Spread.of([taken[kind] for taken in times]))

    stops = [
        (a[0] + b[0], a[1] + b[1]) for a, b in zip(seconds["save"], seconds["copy"], strict=True)
    ]
    goal = Spread.of([GOAL / wall for wall, _ in stops])
    return [
        megabytes(f"{len(episodes)} episodes in memory", in_memory),
        dataclasses.replace(
            megabytes("... in the file", on_disk),
            ratio=Spread.of([in_memory / on_disk]),
            against="in memory, smaller",
        ),
        dataclasses.replace(
            row("training stands still: save and Tune's copy", 0, stops),
            ratio=goal,
            against=f"under {GOAL:g} s",
            goal=1.0,
        ),
        row("... the same", 1, stops),
        row("loading, checked", 0, seconds["load"]),
        row("... the same", 1, seconds["load"]),
    ]


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the wall clock and of CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu
