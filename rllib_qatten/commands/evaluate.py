"""`rllib evaluate`: plays, prints a small table, writes what was asked for."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from rllib_qatten.evaluation.evaluate import Estimate, Evaluation, evaluate, make_games
from rllib_qatten.evaluation.team_policy import TeamPolicy
from rllib_qatten.files import replacing


def run(
    checkpoint: Path,
    episodes: int,
    seed: int,
    env_config: dict[str, Any],
    json_file: Path | None,
    video_file: Path | None,
) -> None:
    """Evaluates a checkpoint.

    Args:
        checkpoint: Its folder.
        episodes: How many greedy games.
        seed: Of the games.
        env_config: Settings of the environment that differ from training's.
        json_file: Where everything goes, game by game.
        video_file: Where the first battle is drawn, or StarCraft II's replay goes.

    Raises:
        BadInput: If the checkpoint, the settings or a file to write are no good.
    """
    policy = TeamPolicy.from_checkpoint(checkpoint)
    teams = make_games(policy, episodes, env_config)
    with contextlib.ExitStack() as stack:
        stack.callback(teams.close)
        if video_file:
            # Pillow comes with the extra that plays what can be drawn.
            from rllib_qatten.drawing import video

            video.check(video_file, teams)
            film = stack.enter_context(replacing(video_file))
        if json_file:
            # Kept, whatever becomes of the video.
            written = stack.enter_context(contextlib.ExitStack())
            results = written.enter_context(replacing(json_file))
        columns = ("games", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        bar = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
        task = bar.add_task("", total=episodes)
        evaluation = evaluate(policy, teams, episodes, seed, lambda ended: bar.advance(task, ended))
        bar.stop()
        about = policy.metadata
        played = about["environment"]["env_config"] | env_config
        if json_file:
            content = {
                "checkpoint": str(checkpoint.resolve()),
                "algorithm": about["algorithm"],
                "rllib_qatten": about["rllib_qatten"],
                "env": about["environment"]["env"],
                "env_config": played,
                "trained_on": about["environment"]["engine"],
                "seed": seed,
                **evaluation.to_dict(),
            }
            results.write_text(json.dumps(content, indent=1), encoding="utf-8")
            written.close()
        _print(evaluation, policy, played, seed)
        if video_file:
            video.write(evaluation.episodes[0], teams, film)


def _print(evaluation: Evaluation, policy: TeamPolicy, env_config: dict, seed: int) -> None:
    console, spec = Console(highlight=False), evaluation.spec
    trained = policy.metadata["environment"]
    settings = "".join(f" {value}" for key, value in env_config.items() if key == "map_name")
    console.print(
        f"{policy.metadata['algorithm']} on {trained['env']}{settings}, {spec.engine}: "
        f"{len(evaluation.episodes)} greedy games, seed {seed}",
        soft_wrap=True,
    )
    if spec.engine != trained["engine"]:
        console.print(f"Trained on {trained['engine']}: not comparable.", style="yellow")
    table = _table("", "mean", "95 % interval")
    if evaluation.win_rate:
        table.add_row("win rate", *_cells(evaluation.win_rate, "{:.1%}"))
    table.add_row("return", *_cells(evaluation.episode_return, "{:.2f}"))
    table.add_row("length in steps", *_cells(evaluation.episode_len, "{:.1f}"))
    table.add_row("games dropped", str(evaluation.dropped), "")
    table.add_row("env steps per second", _cell(evaluation.env_steps_per_second, "{:,.0f}"), "")
    console.print(table)
    if spec.is_battle:
        table = _table("agent", "alive at the end", "alive, of all steps")
        for agent, *shares in zip(
            spec.agents, evaluation.survival, evaluation.time_alive, strict=True
        ):
            table.add_row(str(agent), *(f"{share:.1%}" for share in shares))
        console.print(table)


def _table(first: str, *others: str) -> Table:
    table = Table(first, box=None, padding=(0, 2))
    for title in others:
        table.add_column(title, justify="right")
    return table


def _cells(estimate: Estimate, form: str) -> tuple[str, str]:
    if np.isnan(estimate.low):
        return form.format(estimate.mean), "-"
    interval = f"{form.format(estimate.low)} .. {form.format(estimate.high)}"
    return form.format(estimate.mean), interval


def _cell(value: float, form: str) -> str:
    return "-" if np.isnan(value) else form.format(value)
