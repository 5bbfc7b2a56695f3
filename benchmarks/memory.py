"""Bytes of a replay: predicted, and by how much the process really grew; and flat once it is full.

`python -m benchmarks.memory CASE LENGTHS EPISODES SECONDS` plays, stores, draws and learns in a
process of its own, as memory that earlier work left behind would hide growth, and prints JSON.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.effort import Effort
from benchmarks.teams import SIZES, DummyVector, Size
from benchmarks.turns import Row, Spread
from rllib_qatten.envs import TeamStep

ROOT = Path(__file__).parents[1]
#: 3s5z with SMAC's time limit. 5000 games of 27m_vs_30m up to its limit of 180 steps would be
#: 33 GB; on SMAX they last 24 steps at random.
CASES = {
    "3s5z": dataclasses.replace(SIZES["3s5z"], steps=150),
    "27m_vs_30m": dataclasses.replace(SIZES["27m_vs_30m"], steps=40),
    "tiny": SIZES["tiny"],
}
#: PyMARL2's replay: bytes of a step of 3s5z when games of 60 steps are padded to the limit of 150.
PYMARL2 = 16_060
#: Predicted and measured bytes may differ by so much.
TOLERANCE = 0.05
BATCH = 32
GAMES = 32


class RaggedVector(DummyVector):
    """Games that end by chance, two thirds into their limit on average."""

    def __init__(self, size: Size, num_games: int) -> None:
        """See base class."""
        super().__init__(size, num_games)
        self._rng = np.random.default_rng(0)
        self._lengths = self._draw(num_games)
        self._played = np.zeros(num_games, int)

    def _draw(self, count: int) -> np.ndarray:
        limit = self.spec.episode_limit or 1
        return self._rng.integers(limit // 3, limit + 1, count)

    def step(self, actions: np.ndarray) -> TeamStep:
        """See base class."""
        step = super().step(actions)
        self._played += 1
        over = self._played >= self._lengths
        self._played[over] = 0
        self._lengths[over] = self._draw(int(over.sum()))
        return dataclasses.replace(step, terminated=over)


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return psutil.Process().memory_info().rss


def observe(case: str, lengths: str, episodes: int, seconds: float) -> dict[str, float]:
    """Fills a replay from one vector of games while learning from it, then goes on for a while.

    Args:
        case: One of `CASES`.
        lengths: "full" games, whose bytes are predicted, or "ragged" ones.
        episodes: The replay's capacity.
        seconds: To go on once it was filled and all was replaced once; a fifth of it to settle.
    """
    import torch

    from benchmarks.updaters import build_learner, learner_update
    from rllib_qatten import QattenConfig
    from rllib_qatten.rollout.episode import Recorder, bytes_per_entry
    from rllib_qatten.rollout.replay import EpisodeReplay, predicted_bytes

    torch.set_num_threads(1)
    size = CASES[case]
    learner = build_learner(QattenConfig(), size)
    replay = EpisodeReplay(episodes, seed=0)
    vector = {"full": DummyVector, "ragged": RaggedVector}[lengths](size, GAMES)
    recorder, rng = Recorder(size.spec, GAMES), np.random.default_rng(0)
    recorder.begin(vector.reset())
    replaced = updates = 0

    def play_and_learn() -> None:
        nonlocal replaced, updates
        for _ in range(size.steps):
            actions = rng.integers(0, size.actions, (GAMES, size.agents))
            ended = recorder.record(actions, vector.step(actions))
            replay.add(ended)
            replaced += len(ended)
        learner_update(learner, replay.sample(min(BATCH, len(replay))).episodes)()
        updates += 1

    for _ in range(3):  # networks, recorder and the allocator's own room
        play_and_learn()
    begun, held = resident(), replay.nbytes
    while len(replay) < episodes:
        play_and_learn()
    result = {
        "predicted": predicted_bytes(size.spec, episodes) if lengths == "full" else replay.nbytes,
        "measured": resident() - begun + held,
        "per_entry": bytes_per_entry(size.spec),
    }
    while seconds and replaced < 2 * episodes:
        play_and_learn()
    updates, sizes = 0, [resident()]
    begun = time.monotonic()
    settled, end = begun + seconds / 5, begun + seconds
    while time.monotonic() < end:
        play_and_learn()
        if time.monotonic() < settled:  # batches of all sizes have found their place in memory
            sizes.clear()
        sizes.append(resident())
    tenth = max(1, len(sizes) // 10)
    return result | {
        "first": float(np.mean(sizes[:tenth])),
        "last": float(np.mean(sizes[-tenth:])),
        "most": max(sizes),
        "least": min(sizes),
        "updates": updates,
        "replaced": replaced,
    }


def cases(effort: Effort) -> list[str]:
    """Which to run."""
    return ["tiny"] if effort.tiny else ["3s5z", "27m_vs_30m"]


def run(case: str, effort: Effort) -> list[Row]:
    """Compares predicted with measured bytes, and the process's size before and after a while."""
    episodes, seconds = (5000, 600.0) if effort.full_memory else (2000, 5.0)
    if effort.tiny:
        episodes, seconds = 200, 1.0
    full = _observed(case, "full", episodes, 0.0)
    ragged = _observed(case, "ragged", episodes, seconds)
    return rows(case, episodes, seconds, full, ragged)


def _observed(*arguments: object) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.memory", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def rows(
    case: str, episodes: int, seconds: float, full: dict[str, float], ragged: dict[str, float]
) -> list[Row]:
    """What `observe` found, as rows."""

    def row(name: str, number: float, unit: str = "MB", **more: Any) -> Row:
        scale = 1e6 if unit == "MB" else 1
        return Row("memory", f"{case} {name}", unit, Spread.of([number / scale]), **more)

    def agreement(number: float, expected: float, against: str) -> dict[str, Any]:
        off = abs(number - expected) / expected
        return {"ratio": Spread.of([1 - off]), "against": against, "goal": 1 - TOLERANCE}

    steps = CASES[case].steps
    result = []
    if case == "3s5z":
        per_step = full["per_entry"] * 61 / 60
        less = {"ratio": Spread.of([PYMARL2 / per_step]), "goal": 2.5, "good": 3.1}
        against = f"PyMARL2's {PYMARL2:,} at a limit of 150"
        name = "stored step, games of 60 steps"
        result.append(row(name, per_step, "bytes", against=against, **less))
    later = f"... {seconds:.0f} s later ({ragged['updates']} updates, {ragged['replaced']} games)"
    return [
        *result,
        row(f"stored step, games of {steps} steps", full["per_entry"] * (1 + 1 / steps), "bytes"),
        row(f"{episodes} games of {steps} steps, predicted", full["predicted"]),
        row(
            "... the process grew by", full["measured"],
            **agreement(full["measured"], full["predicted"], "predicted"),
        ),
        row(f"{episodes} games of {steps // 3} to {steps} steps, counted", ragged["predicted"]),
        row(
            "... the process grew by", ragged["measured"],
            **agreement(ragged["measured"], ragged["predicted"], "counted"),
        ),
        row("... the whole process once all was replaced", ragged["first"]),
        row(later, ragged["last"], **agreement(ragged["last"], ragged["first"], "before")),
        row("... at most", ragged["most"]),
    ]  # fmt: skip


if __name__ == "__main__":
    case, lengths, episodes, seconds = sys.argv[1:]
    print(json.dumps(observe(case, lengths, int(episodes), float(seconds))))
