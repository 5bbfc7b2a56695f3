"""Env steps per second of the env runner, beside RLlib's own for multi-agent envs."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.tune.registry import register_env

from benchmarks.baseline import STOCK
from benchmarks.teams import DummyBatch, DummyTeam, Size
from benchmarks.turns import Row, Spread, Work, rates, ratios, take_turns
from rllib_qatten import QattenConfig
from rllib_qatten.envs.battles.armies import SMAC_LIMITS
from rllib_qatten.envs.battles.smax import installed
from rllib_qatten.rollout.env_runner import TeamEnvRunner

OURS = "TeamEnvRunner"


def stock_runner(size: Size, games: int) -> Work:
    """RLlib's runner with PPO's LSTM module of our width, one policy for all agents."""
    register_env("benchmark_team", DummyTeam)
    config = (
        PPOConfig()
        .environment("benchmark_team", env_config={"size": size, "masked": False})
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=games,
            rollout_fragment_length=size.steps,
        )
        .rl_module(
            model_config=DefaultModelConfig(
                fcnet_hiddens=[64], use_lstm=True, lstm_cell_size=64, max_seq_len=size.steps
            )
        )
        .multi_agent(policies={"team"}, policy_mapping_fn=lambda *_, **__: "team")
    )
    runner = MultiAgentEnvRunner(config=config)

    def play() -> float:
        episodes = runner.sample(num_timesteps=games * size.steps, random_actions=False)
        runner.get_metrics()
        return sum(episode.env_t - episode.env_t_started for episode in episodes)

    return play


def team_runner(env: object, env_config: dict, games: int) -> Work:
    """Our runner on an env, half of the actions exploring."""
    config = (
        QattenConfig()
        .environment(env, env_config=env_config)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=games)
        .training(epsilon=0.5)
        .debugging(seed=0)
    )
    runner = TeamEnvRunner(config=config)

    def play() -> float:
        episodes = runner.sample(num_episodes=games)
        runner.get_metrics()
        return sum(len(episode) for episode in episodes)

    return play


def run(name: str, size: Size, rounds: int, seconds: float) -> list[Row]:
    """Measures RLlib's runner, then ours on Python envs, on arrays and, if installed, on SMAX.

    Args:
        name: Of the size; a map if SMAX has one of this name.
        size: Of the invented teams.
        rounds: See `take_turns`.
        seconds: See `take_turns`.
    """
    games, dummy = size.games, {"size": size}
    contenders = {
        f"{STOCK}, {games} Python envs": stock_runner(size, games),
        f"{OURS}, {games} Python envs": team_runner(DummyTeam, dummy, games),
        f"{OURS}, {games} games of one batched env": team_runner(DummyBatch, dummy, games),
    }
    base, ours, batched = contenders
    clocks = dict.fromkeys(contenders, "cpu")
    if name in SMAC_LIMITS and installed():
        smax = {"map_name": name, "engine": "smax"}
        for number in (games, 4 * games):
            who = f"{OURS}, {number} games of SMAX"
            contenders[who], clocks[who] = team_runner("smac", smax, number), "wall"
    taken = take_turns(contenders, rounds, seconds)
    speeds = {who: rates(turns, clocks[who]) for who, turns in taken.items()}
    goals = {ours: {"goal": 12.0, "good": 20.0}}
    rows = []
    for who, speed in speeds.items():
        more: dict[str, Any] = {}
        if who in (ours, batched):
            more = {"ratio": ratios(speed, speeds[base]), "against": STOCK, **goals.get(who, {})}
        unit = f"env steps/s ({clocks[who]})"
        rows.append(Row("sampler", f"{name} {who}", unit, Spread.of(speed), **more))
    return rows
