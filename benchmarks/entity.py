"""What an entity agent costs beside the recurrent one on real battles: updates, playing, both."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner

from benchmarks.turns import Row, Spread, rates, ratios, take_turns
from benchmarks.updaters import package_loss, updater
from rllib_qatten import QattenConfig
from rllib_qatten.envs.battles.smax import installed
from rllib_qatten.envs.team import TeamSpace, TeamSpec
from rllib_qatten.rollout.env_runner import TeamEnvRunner

#: With the least speed in relation to the recurrent agent's, of playing and updates together.
BATTLES = {"smacv2_5_units": 0.8, "3s5z_vs_3s6z": 0.8, "27m_vs_30m": 1.2}
AGENTS = ("recurrent", "entity")
#: Of the games whose update is timed: they explore a little, so that units meet as in training.
EPSILON, BATCH, GAMES = 0.3, 32, 32


def run(battle: str, rounds: int, seconds: float) -> list[Row]:
    """Measures both agents on one SMAX battle, in the same rounds and on the same games.

    Args:
        battle: Its name; those in `BATTLES` have a goal.
        rounds: See `take_turns`.
        seconds: See `take_turns`.
    """
    if not installed():
        return [Row("entity", battle, "", None, note="needs the extra smax")]
    contenders, episodes = {}, None
    for agent in AGENTS:
        config = config_of(battle, agent)
        runner = TeamEnvRunner(config=config)
        if episodes is None:
            episodes = runner.sample(num_episodes=BATCH)[:BATCH]
        module = learner_of(config, runner.env.spec).module[DEFAULT_MODULE_ID]
        contenders[f"{agent}, update"] = updater(config, module, package_loss(config, episodes))
        contenders[f"{agent}, playing"] = partial(_play, runner)
    speeds = {who: rates(turns) for who, turns in take_turns(contenders, rounds, seconds).items()}
    # Env steps that an update is due for, as often as the recipe updates.
    due = float(np.mean([len(e) for e in episodes or ()])) / config.updates_per_episode
    for agent in AGENTS:
        pairs = zip(speeds[f"{agent}, playing"], speeds[f"{agent}, update"], strict=True)
        speeds[f"{agent}, in all"] = [
            1 / (1 / playing + 1 / (update * due)) for playing, update in pairs
        ]
    rows = []
    steps = "env steps/s (cpu)"
    for what, unit in (("update", "ms (cpu)"), ("playing", steps), ("in all", steps)):
        ours, theirs = speeds[f"entity, {what}"], speeds[f"recurrent, {what}"]
        for agent, numbers in (("recurrent", theirs), ("entity", ours)):
            more: dict[str, Any] = {}
            if agent == "entity":
                more = {"ratio": ratios(ours, theirs), "against": "recurrent"}
                more["goal"] = BATTLES.get(battle) if what == "in all" else None
            shown = [1e3 / x for x in numbers] if what == "update" else numbers
            rows.append(Row("entity", f"{battle} {agent}, {what}", unit, Spread.of(shown), **more))
    return rows


def config_of(battle: str, agent: str) -> QattenConfig:
    """Qatten by the recipe, with one agent or the other."""
    return (
        QattenConfig()
        .environment("smac", env_config={"map_name": battle, "engine": "smax"})
        .env_runners(num_env_runners=0, num_envs_per_env_runner=GAMES)
        .training(recipe="smax", agent=agent, epsilon=EPSILON, lr=5e-4)
        .debugging(seed=0, log_level="ERROR")
    )


def learner_of(config: QattenConfig, spec: TeamSpec) -> TorchLearner:
    """The config's own Learner in this process."""
    actions = gym.spaces.MultiDiscrete([spec.n_actions] * spec.n_agents)
    learner = config.build_learner(spaces={DEFAULT_MODULE_ID: (TeamSpace(spec), actions)})
    learner.build()
    return learner


def _play(runner: TeamEnvRunner) -> float:
    """Ten steps of all games; returns how many those are."""
    before = runner.num_env_steps_sampled_lifetime
    runner.sample(num_timesteps=10 * GAMES)
    runner.get_metrics()
    return float(runner.num_env_steps_sampled_lifetime - before)
