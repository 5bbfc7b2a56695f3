"""Training on SMAX beside JaxMARL's QMIX: env steps per second at equal updates, turn by turn.

JaxMARL's script does as many updates per env step as our recipe `smax_recurrent` (one of 32 games
per 4 games played), with networks of our widths and as many evaluation games a turn. It learns from
windows instead of games, in two ways:

- *its windows*: 128 steps across the ends of games, as it is published: an update is of more steps
  than one of ours;
- *our games' length*: windows as long as our mean game, so that updates are of as many steps. Its
  rollouts are no longer than its windows and begin anew, which costs it learning, not speed.

Then both at the ratio it is published with, 8 updates per 16 windows of 128 steps.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES_LIFETIME,
)

from benchmarks.turns import Row, Spread, Turn, rates, ratios
from rllib_qatten import QattenConfig, QMIXConfig, keys
from rllib_qatten.algorithms.recipes import RECIPES
from rllib_qatten.envs.battles.smax import installed

SCRIPT = Path(__file__).with_name("jaxmarl_script.py")
EXAMPLES = Path(__file__).parents[1] / "tuned_examples"
MAPS = "3m", "3s5z"
PEER = "JaxMARL QMIX"
#: Times their env steps per second.
GOAL = 3.0
#: How ours may share the work between processes; see docs/scale.md.
OVERLAPPED = {
    "sampling": "overlapped",
    "num_env_runners": 1,
    "num_cpus_per_env_runner": 0,
    "num_cpus_per_learner": 2,
}
#: Episodes or windows in one update.
BATCH = 32
#: Env steps of a turn, about; games evaluated in it.
TURN, EVALUATED = 8_000, 16


@dataclass(frozen=True)
class Rollouts:
    """How JaxMARL plays and learns: `games` windows of `steps`, then `updates`."""

    games: int
    steps: int
    updates: int

    @classmethod
    def of(cls, games: int, steps: int, rate: float) -> Rollouts:
        """So many updates that there are `rate` per env step."""
        return cls(games, steps, max(1, round(games * steps * rate)))

    @property
    def per_turn(self) -> int:
        """Rollouts in a turn."""
        return max(1, round(TURN / (self.games * self.steps)))


#: JaxMARL's own, for SMAX.
PUBLISHED = Rollouts(games=16, steps=128, updates=8)


class Ours:
    """Our training by the settings of a tuned example, one iteration a turn.

    Attributes:
        mean_game: Env steps of a game before the first turn.
        updates: Per 1000 env steps, of each turn.
    """

    def __init__(self, config: QMIXConfig, map_name: str, more: dict[str, Any]) -> None:
        """Builds it and trains twice: to compile and fill, and to see how long games are.

        Args:
            config: Of the algorithm.
            map_name: SMAC's name.
            more: Settings that differ from the tuned example's.
        """
        file = EXAMPLES / f"{config.name.lower()}_3s5z.yaml"
        (experiment,) = yaml.safe_load(file.read_text()).values()
        settings = experiment["config"] | {
            "recipe": "smax_recurrent",  # the agent network and the batches that theirs has
            "env_config": {"map_name": map_name, "engine": "smax"},
            "min_sample_timesteps_per_iteration": TURN,
            "evaluation_duration": EVALUATED,
            **more,
        }
        config = config.environment("smac").update_from_dict(settings)
        self.algorithm = config.debugging(log_level="ERROR").build_algo()
        before, self.counts = self._train(), self._train()
        steps, games, _ = (b - a for a, b in zip(before, self.counts, strict=True))
        self.mean_game = steps / games
        self.updates: list[float] = []

    def turn(self) -> Turn:
        """One iteration; a unit of work is an env step."""
        before, begun = self.counts, (time.perf_counter(), time.process_time())
        self.counts = self._train()
        taken = time.perf_counter() - begun[0], time.process_time() - begun[1]
        steps = self.counts[0] - before[0]
        self.updates.append(1000 * (self.counts[2] - before[2]) / steps)
        return Turn(steps, *taken)

    def _train(self) -> tuple[float, float, float]:
        """Env steps, games and updates so far."""
        result = self.algorithm.train()
        played = result[ENV_RUNNER_RESULTS]
        steps, games = played[NUM_ENV_STEPS_SAMPLED_LIFETIME], played[NUM_EPISODES_LIFETIME]
        return steps, games, result.get(keys.NUM_UPDATES, 0)

    def close(self) -> None:
        """Ends it."""
        self.algorithm.stop()


class Theirs:
    """JaxMARL's QMIX in a process of its own, which waits between turns."""

    def __init__(self, checkout: Path, python: Path, map_name: str, plan: Rollouts) -> None:
        """Starts it; returns when it has compiled, filled its replay and begun to learn."""
        total = 10_000 * plan.per_turn * plan.games * plan.steps  # never reached
        settings = {
            "TOTAL_TIMESTEPS": total,
            "NUM_ENVS": plan.games,
            "NUM_STEPS": plan.steps,
            "NUM_EPOCHS": plan.updates,
            "BUFFER_SIZE": 1500,
            "BUFFER_BATCH_SIZE": BATCH,
            "HIDDEN_SIZE": 64,
            "MIXER_EMBEDDING_DIM": 32,
            "MIXER_HYPERNET_HIDDEN_DIM": 64,
            "LR": 7e-4,
            "EPS_DECAY": 100_000 / total,
            "TEST_INTERVAL": 1.0001 / 10_000,  # rounded down: once a turn
            "TEST_NUM_ENVS": EVALUATED,
            "TEST_NUM_STEPS": 100,  # SMAX's own limit: all games end
            "MAP_NAME": map_name,
            "WANDB_MODE": "offline",  # so that it reports, to the script
        }
        arguments = [checkout, plan.per_turn, json.dumps(settings)]
        command = [str(python), str(SCRIPT), *map(str, arguments)]
        self.updates: list[float] = []
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"},
        )
        self._answer()

    def turn(self) -> Turn:
        """Some rollouts with their updates and one evaluation; a unit of work is an env step."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found = self._answer()
        self.updates.append(1000 * found["updates"] / found["env_steps"])
        return Turn(found["env_steps"], found["wall"], found["cpu"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"JaxMARL's QMIX ended with exit code {self._process.wait()}: see what it said "
                "above. Give its checkout by --jaxmarl, and by --jaxmarl-python a Python that has "
                "what it imports (jax, flax, optax, flashbax, hydra-core, wandb, ...)."
            )
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()


def run(map_name: str, checkout: Path | None, python: Path, quick: bool) -> list[Row]:
    """Our QMIX and Qatten beside theirs; one row that says what is missing without a checkout."""
    if checkout is None or not installed():
        missing = "not run: give a checkout by --jaxmarl" if installed() else "needs the extra smax"
        return [Row("jaxmarl", f"{map_name} {PEER}", "", None, note=missing)]
    rounds = 2 if quick else 5
    ours = {
        "QMIX": Ours(QMIXConfig(), map_name, {}),
        "QMIX, overlapped with 1 env runner": Ours(QMIXConfig(), map_name, OVERLAPPED),
        "Qatten": Ours(QattenConfig(), map_name, {}),
    }
    game = statistics.mean(each.mean_game for each in ours.values())
    rate = RECIPES["smax_recurrent"]["updates_per_episode"] / game
    plans = [Rollouts.of(16, 128, rate), Rollouts.of(32, round(game), rate)]
    found = beside(map_name, ours, plans, checkout, python, rounds)
    earned = {"updates_per_episode": game * PUBLISHED.updates / (PUBLISHED.games * PUBLISHED.steps)}
    ours = {
        "QMIX at its ratio": Ours(QMIXConfig(), map_name, earned),
        "QMIX at its ratio, overlapped": Ours(QMIXConfig(), map_name, earned | OVERLAPPED),
    }
    return found + beside(map_name, ours, [PUBLISHED], checkout, python, rounds)


def beside(
    map_name: str,
    ours: dict[str, Ours],
    plans: list[Rollouts],
    checkout: Path,
    python: Path,
    rounds: int,
) -> list[Row]:
    """Ours and theirs turn by turn; ends them."""
    contenders: dict[str, Any] = dict(ours)
    try:
        for plan in plans:
            name = f"{PEER}, windows of {plan.steps}"
            contenders[name] = Theirs(checkout, python, map_name, plan)
        taken: dict[str, list[Turn]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, contender in contenders.items():
                taken[name].append(contender.turn())
    finally:
        for contender in contenders.values():
            contender.close()
    return rows(map_name, taken, {name: c.updates for name, c in contenders.items()})


def rows(map_name: str, taken: dict[str, list[Turn]], updates: dict[str, list[float]]) -> list[Row]:
    """Speeds, how many updates each did, and ours over each of JaxMARL's, by both clocks."""

    def row(name: str, unit: str, numbers: list[float] | None, **more: Any) -> Row:
        value = Spread.of(numbers) if numbers else None
        return Row("jaxmarl", f"{map_name} {name}", unit, value, **more)

    result = []
    for name, turns in taken.items():
        result.append(row(name, "env steps/s (wall)", rates(turns, "wall")))
        result.append(row(f"{name}, updates", "per 1000 env steps", updates[name]))
    peers = [name for name in taken if name.startswith(PEER)]
    for ours in (name for name in taken if name not in peers):
        for peer in peers:
            for clock, goal in (("wall", GOAL), ("cpu", None)):
                if clock == "cpu" and "overlapped" in ours:
                    continue  # the env runner's is not in it
                times = ratios(rates(taken[ours], clock), rates(taken[peer], clock))
                label = f"{ours}, {clock}"
                result.append(row(label, "", None, ratio=times, against=peer, goal=goal))
    return result
