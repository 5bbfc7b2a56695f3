"""`python -m study`: keeps what the study finds. For maintainers, in a clone of the repository."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.screen import Screen

#: In the repository: where runs are kept.
RESULTS = Path(__file__).parents[1] / "docs" / "results"

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def study() -> None:
    """Keep what the study finds: small files of its runs, tables in the docs, trained teams."""


@app.command()
def team(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a checkpoint, a trial or a run.")],
    name: Annotated[str, typer.Argument(help="The team's name: zoo:NAME is its address.")],
    games: Annotated[int, typer.Option(min=10, help="Greedy games to play.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Seed of these games.")] = 0,
) -> None:
    """Evaluate a checkpoint's team and add it to the zoo."""
    from study.team import add

    command = shlex.join(["python", "-m", "study", *_relative(sys.argv[1:])])
    with Screen() as screen:
        on_games = screen.counting("playing", games, "games")
        added = add(checkpoint, name, games, seed, command, on_games)
    typer.echo(f"Wrote {added.folder} ({added.size / 1000:.0f} kB): {added.statement()}")


@app.command()
def keep(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, finished or not.")],
) -> None:
    """Keep runs as small files in docs/results, and bring the tables up to date."""
    from study import keep as kept
    from study import tables

    folders, warnings = kept.keep(runs, RESULTS)
    for warning in warnings:
        typer.secho(f"Note: {warning}", fg="yellow", err=True)
    for path in [*folders, *tables.write()]:
        typer.echo(f"Wrote {path}")


@app.command("tables")
def tables_() -> None:
    """Bring the tables of README and docs/results.md up to date with the runs that are kept."""
    from study.tables import write

    for page in write():
        typer.echo(f"Wrote {page}")


@app.command()
def jaxmarl(
    algorithm: Annotated[str, typer.Argument(help="JaxMARL-QMIX or JaxMARL-PQN-VDN.")],
    battle: Annotated[str, typer.Argument(help="A battle of SMAX: 3m, 5m_vs_6m, ...")],
    checkout: Annotated[Path, typer.Option(help="A checkout of JaxMARL.")],
    env_steps: Annotated[int, typer.Option(min=1, help="How many env steps to train.")] = 2_000_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything.")] = 1,
    python: Annotated[
        Path, typer.Option(help="A Python that has what JaxMARL's scripts import.")
    ] = Path(sys.executable),
    results: Annotated[Path, typer.Option(help="Where the run is kept.")] = RESULTS,
) -> None:
    """Train JaxMARL's own algorithm with its published settings, and keep its curve."""
    from rllib_qatten.errors import one_of
    from study.jaxmarl_peer import ALGORITHMS, run

    try:
        one_of(algorithm, ALGORITHMS, "algorithm of JaxMARL's")
    except ValueError as error:
        raise BadInput(str(error)) from error
    command = (
        f"python -m study jaxmarl {algorithm} {shlex.quote(battle)} --env-steps {env_steps} "
        f"--seed {seed} --checkout CHECKOUT"
    )
    kept = run(algorithm, battle, env_steps, seed, checkout, python, command, results)
    typer.echo(f"Wrote {kept}")


def _relative(words: list[str]) -> list[str]:
    """Words of a command line; of a path that only this machine has, the last two parts."""
    return [str(Path(*Path(w).parts[-2:])) if Path(w).is_absolute() else w for w in words]


def main() -> None:
    """Runs a command; a user's mistake is a message and exit code 2."""
    try:
        app(prog_name="python -m study")
    except BadInput as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
