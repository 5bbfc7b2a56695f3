"""`rllib evaluate`: plays games, prints a small table, writes the requested files."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from rllib_qatten.commands.arguments import Checkpoint, Env, Seed, key_values
from rllib_qatten.commands.terminal import line, table
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.screen import Screen
from rllib_qatten.files import replacing

if TYPE_CHECKING:
    from rllib_qatten.envs.team import TeamSpec
    from rllib_qatten.evaluation.evaluate import Evaluation
    from rllib_qatten.evaluation.team_policy import TeamPolicy


def evaluate(
    checkpoint: Checkpoint,
    episodes: Annotated[int, typer.Option(metavar="N", min=1, help="Greedy games to play.")] = 100,
    seed: Seed = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="env_config.KEY=VALUE",
            help="Play other games of the same shapes, or, with agent: entity, other armies, e.g. "
            "env_config.map_name=8m_vs_9m. Repeatable.",
        ),
    ] = None,
    env: Env = None,
    run: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The algorithm, which the checkpoint must be of."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="'{\"env_config\": {...}}', the same as --set."),
    ] = None,
    steps: Annotated[int | None, typer.Option(hidden=True)] = None,
    out: Annotated[Path | None, typer.Option(hidden=True)] = None,
    render: Annotated[bool, typer.Option("--render", hidden=True)] = False,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write all results, game by game, as JSON."),
    ] = None,
    video_file: Annotated[
        Path | None,
        typer.Option(
            "--video",
            metavar="FILE",
            help="Draw the first battle as .gif or .mp4 (SMAX), or save StarCraft II's replay "
            "of all battles of the first game as .SC2Replay.",
        ),
    ] = None,
) -> None:
    """Play greedy games with a trained team: win rate, return, length, survival.

    Runs no code from the checkpoint; only an environment that you name with --env does run.
    """
    if str(json_file) == "-":
        raise BadInput("--json -: results are written to a file: name it, as in --json games.json.")
    if json_file and video_file and json_file.resolve() == video_file.resolve():
        raise BadInput(f"--json and --video both name {json_file}: name two files.")
    with Screen() as screen:
        screen.doing("Loading the team")
        settings = _settings(set_ or [], config, steps, out, render)
        _evaluate(checkpoint, run, episodes, seed, settings, env, json_file, video_file, screen)


def _settings(
    set_: list[str], config: str | None, steps: int | None, out: Path | None, render: bool
) -> dict[str, Any]:
    """The settings of the environment that the command line changes."""
    from rllib_qatten.experiment.file import assignment, override
    from rllib_qatten.experiment.process_environment import silence

    silence()
    _refuse_old({"--steps": steps, "--out": out, "--render": render or None})
    settings: dict[str, Any] = {"env_config": {}}
    for text in (*key_values(() if config is None else [config], "--config"), *set_):
        key, value = assignment(text, "--set")
        if key == "env_config" and isinstance(value, dict):
            settings[key] |= value
            continue
        if not key.startswith("env_config."):
            raise BadInput(f"--set {key}: only env_config.KEY=VALUE can be set for an evaluation.")
        override(settings, key, value)
    return settings["env_config"]


def _refuse_old(given: dict[str, Any]) -> None:
    """Names what does the same as an option of RLlib's own command that is not taken here."""
    instead = {
        "--steps": "whole games are played: give their number, --episodes N",
        "--out": "results are written as JSON: --json FILE",
        "--render": "a battle is drawn to a file: --video FILE",
    }
    for option, value in given.items():
        if value is not None:
            raise BadInput(f"{option}: {instead[option]}.")


def _evaluate(
    checkpoint: Path,
    run: str | None,
    episodes: int,
    seed: int,
    env_config: dict[str, Any],
    env: str | None,
    json_file: Path | None,
    video_file: Path | None,
    screen: Screen,
) -> None:
    """Evaluates a checkpoint; `env_config` holds the settings that differ from training."""
    from rllib_qatten.checkpoints import location
    from rllib_qatten.envs.battles.armies import with_one_name
    from rllib_qatten.evaluation.environment import choose, make_games
    from rllib_qatten.evaluation.evaluate import evaluate as play
    from rllib_qatten.evaluation.team_policy import TeamPolicy

    folder = location.find(checkpoint)
    policy = TeamPolicy.from_checkpoint(folder)
    about = policy.metadata
    if run is not None and run.rpartition(":")[2] != about["algorithm"]:
        raise BadInput(f"--run {run}: {checkpoint} is a checkpoint of {about['algorithm']}.")
    name, config = choose(policy, env_config, env)
    screen.doing("Preparing the games")
    teams = make_games(policy, episodes, env_config, env)
    with contextlib.ExitStack() as stack:
        stack.callback(teams.close)
        if video_file:
            # Pillow comes with the extra of the engine whose games can be drawn.
            try:
                from rllib_qatten.drawing import video
            except ModuleNotFoundError as error:
                raise BadInput(f"--video needs Pillow ({error}): pip install pillow.") from error

            video.check(video_file, teams)
            film = stack.enter_context(replacing(video_file))
        if json_file:
            # Written even if the video fails.
            written = stack.enter_context(contextlib.ExitStack())
            results = written.enter_context(replacing(json_file))
        on_games = screen.counting("playing", episodes, "games")
        evaluation = play(policy, teams, episodes, seed, on_games)
        if json_file:
            content = {
                "checkpoint": _address(checkpoint, folder),
                "algorithm": about["algorithm"],
                "rllib_qatten": about["rllib_qatten"],
                "env": name,
                "env_config": config,
                "trained_on": about["environment"]["engine"],
                "seed": seed,
                **evaluation.to_dict(),
            }
            results.write_text(json.dumps(content, indent=1), encoding="utf-8")
            written.close()
        screen.close()
        played = with_one_name({"env": name, "env_config": config})
        _print(evaluation, f"{about['algorithm']} on {_game(played)}", seed, about)
        _print_origin(checkpoint, folder, policy, evaluation.spec, played)
        if video_file:
            first = evaluation.episodes[0]
            with Screen() as drawing:
                on_steps = drawing.counting("drawing the video", len(first), "steps")
                video.write(first, teams, film, on_steps)


def _address(checkpoint: Path, team: Path) -> str:
    from rllib_qatten.checkpoints import location, zoo

    in_zoo = zoo.is_address(checkpoint)
    return str(checkpoint if in_zoo else location.checkpoint_of(team).resolve())


def _print_origin(
    checkpoint: Path, team: Path, policy: TeamPolicy, spec: TeamSpec, played: dict[str, Any]
) -> None:
    """Prints what else is known of the team: another battle, or how often it should win.

    Args:
        checkpoint: As the user named it.
        team: Its folder.
        policy: The team.
        spec: The sizes of the games.
        played: The environment, `env` and `env_config`, with a battle under its one name.
    """
    from rllib_qatten.checkpoints import zoo
    from rllib_qatten.envs.battles.armies import with_one_name
    from rllib_qatten.evaluation.zoo import entry

    environment = policy.metadata["environment"]
    trained = with_one_name({key: environment[key] for key in played})
    # An env that was given as Python code has no name.
    same = trained["env"] is None or _game(trained) == _game(played)
    if not same or policy.fitted(spec) is not policy:
        line(
            f"Trained with {len(policy.agents)} agents on {_game(trained)}: its agent network "
            "plays another battle here.",
            style="yellow",
        )
    elif zoo.is_address(checkpoint):
        # The statement says on which engine.
        there, here = (env["env_config"] | {"engine": None} for env in (trained, played))
        if trained["env"] == played["env"] and there == here:
            line(entry(team).statement())


def _game(environment: dict[str, Any]) -> str:
    map_name = environment["env_config"].get("map_name")
    return f"{environment['env']} {map_name}" if map_name else str(environment["env"])


def _print(evaluation: Evaluation, team: str, seed: int, about: dict[str, Any]) -> None:
    spec, trained_on = evaluation.spec, about["environment"]["engine"]
    games = f"{len(evaluation.episodes)} greedy games, seed {seed}"
    line(f"{team}, {spec.engine}: {games}")
    if spec.engine != trained_on:
        line(f"Trained on {trained_on}: not comparable.", style="yellow")
    speed = evaluation.env_steps_per_second
    rows = [
        ("return", *evaluation.episode_return.cells("{:.2f}")),
        ("length in steps", *evaluation.episode_len.cells("{:.1f}")),
        ("games dropped", evaluation.dropped, ""),
        ("env steps per second", "-" if np.isnan(speed) else f"{speed:,.0f}", ""),
    ]
    if evaluation.win_rate:
        rows.insert(0, ("win rate", *evaluation.win_rate.cells("{:.1%}")))
    table(("", "mean", "95 % interval"), rows)
    if spec.is_battle:
        alive = zip(evaluation.survival, evaluation.time_alive, strict=True)
        table(
            ("agent", "alive at the end", "alive, of all steps"),
            [
                (str(agent), *(f"{share:.1%}" for share in shares))
                for agent, shares in zip(spec.agents, alive, strict=True)
            ],
        )
