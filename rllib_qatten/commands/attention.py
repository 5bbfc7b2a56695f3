"""`rllib attention`: plays, weighs, writes pictures, pages and numbers, prints a table."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from rllib_qatten.commands.arguments import Checkpoint, Env, Seed
from rllib_qatten.commands.terminal import line, table
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.screen import Screen
from rllib_qatten.files import replacing
from rllib_qatten.messages import printable

if TYPE_CHECKING:
    from rllib_qatten.evaluation.mixer_weights import WeighedGame
    from rllib_qatten.evaluation.team_policy import TeamPolicy
    from rllib_qatten.rollout.episode import TeamEpisode


#: Formats of the figures.
FIGURES = (".png", ".svg", ".pdf")


def attention(
    checkpoint: Checkpoint,
    episodes: Annotated[int, typer.Option(metavar="N", min=1, help="Greedy games to show.")] = 1,
    seed: Seed = 0,
    env: Env = None,
    run: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Your own algorithm's class, my_module:MyAlgorithm."),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the files go.")
    ] = Path("attention"),
) -> None:
    """Show how the mixer weighs the agents: figures, pages with the battle, arrays.

    Runs no code from the checkpoint; only what you name with --env or --run does run.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise BadInput(
            "figures need the extra 'report' (matplotlib is not installed): "
            "pip install 'rllib-qatten[report]'"
        )
    with Screen() as screen:
        screen.doing("Loading the team")
        if run is not None:
            from rllib_qatten.algorithms.resolve import algorithm_class

            algorithm_class(run)
        policy, games = _weighed(checkpoint, episodes, seed, env, folder, screen)
    _print(games, policy)
    names = "game_1" if episodes == 1 else f"game_1 .. game_{len(games)}"
    print(f"Wrote {names} ({', '.join(FIGURES)}, .html, .npz) to {folder}")


def _weighed(
    checkpoint: Path, episodes: int, seed: int, env: str | None, folder: Path, screen: Screen
) -> tuple[TeamPolicy, list[WeighedGame]]:
    """Plays the games, weighs them, and writes their files."""
    from rllib_qatten.checkpoints import location
    from rllib_qatten.drawing.style import use_style
    from rllib_qatten.evaluation.environment import make_games
    from rllib_qatten.evaluation.evaluate import evaluate
    from rllib_qatten.evaluation.mixer_weights import WeighedGame, load_module, weigh
    from rllib_qatten.evaluation.team_policy import TeamPolicy
    from rllib_qatten.experiment.process_environment import silence

    silence()
    use_style()
    team = location.find(checkpoint)
    policy, module = TeamPolicy.from_checkpoint(team), load_module(team)
    screen.doing("Preparing the games")
    teams = make_games(policy, episodes, {}, env)
    with contextlib.closing(teams):
        if policy.fitted(teams.spec) is not policy:
            raise BadInput(
                f"the mixer was trained with {len(policy.agents)} agents and weighs no other team: "
                "play the battle that it was trained on."
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{folder}: cannot be written: {error.strerror}.") from error
        on_games = screen.counting("playing", episodes, "games")
        evaluation = evaluate(policy, teams, episodes, seed, on_games)
        battles = [
            teams.battle(e.state, e.actions.astype(np.int64)) if teams.drawable else None
            for e in evaluation.episodes
        ]
    screen.doing("Weighing the agents")
    spec = evaluation.spec
    games = []
    for number, (episode, battle) in enumerate(zip(evaluation.episodes, battles, strict=True), 1):
        title = f"{_name(policy)}, {spec.engine}; greedy game {number} of seed {seed}: "
        weights = weigh(module, episode)
        games.append(WeighedGame(printable(title + _end(episode)), spec, episode, weights, battle))
    on_game = screen.counting("drawing", episodes, "games")
    for number, game in enumerate(games, 1):
        _write(game, folder / f"game_{number}")
        on_game(1)
    return policy, games


def _write(game: WeighedGame, name: Path) -> None:
    """Writes a game's figures, page and numbers, of one name and different suffixes."""
    from rllib_qatten.drawing import attention as attention_figures
    from rllib_qatten.drawing import battle_page
    from rllib_qatten.drawing.style import save

    figure = attention_figures.draw(game)
    for ending in FIGURES:
        with replacing(name.with_suffix(ending)) as file:
            save(figure, file)
    with replacing(name.with_suffix(".html")) as file:
        battle_page.write(game, file)
    with replacing(name.with_suffix(".npz")) as file:
        np.savez_compressed(file, allow_pickle=False, **game.arrays())


def _name(policy: TeamPolicy) -> str:
    """Algorithm, environment and map."""
    from rllib_qatten.envs.battles.armies import with_one_name

    trained = with_one_name(policy.metadata["environment"])
    game = f"{trained['env']} {trained['env_config'].get('map_name', '')}".strip()
    return f"{policy.metadata['algorithm']} on {game}"


def _end(episode: TeamEpisode) -> str:
    if episode.won is None:
        return f"return {episode.episode_return:.4g} in {len(episode)} steps"
    result = "won" if episode.won else "lost" if episode.terminated else "time over"
    return f"{result} after {len(episode)} steps"


def _print(games: list[WeighedGame], policy: TeamPolicy) -> None:
    """Prints a table of means over the steps that agents began alive."""
    engine = games[0].spec.engine
    line(f"{_name(policy)}, {engine}: {len(games)} greedy games")
    if engine != (trained_on := policy.metadata["environment"]["engine"]):
        line(f"Trained on {trained_on}: not comparable.", style="yellow")
    alive = np.concatenate([game.episode.alive[:-1] for game in games])

    def mean(values: list[np.ndarray]) -> list[str]:
        sums = (np.concatenate(values) * alive).sum(0)
        return [f"{x:.3f}" for x in sums / np.maximum(alive.sum(0), 1)]

    columns = {"dQ_tot/dQ_i": mean([game.weights.effective_weights for game in games])}
    attention = [game.weights.attention for game in games]
    heads = 0 if attention[0] is None else attention[0].shape[1]
    for h in range(heads):
        columns[f"head {h}"] = mean([x[:, h] for x in attention if x is not None])
    head = ("mean while alive", *columns)
    table(head, zip(games[0].labels, *columns.values(), strict=True))
    if not heads:
        line("This mixer has no attention: effective weights dQ_tot/dQ_i only.")
    if games[0].battle is None:
        line(f"Games are not drawn: {engine} does not say where units stand.")
