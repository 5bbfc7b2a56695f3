"""`rllib example`: the experiments that come with the package, to read, copy and run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rllib_qatten.commands.groups import Command, Group
from rllib_qatten.commands.terminal import table
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.examples import description, examples
from rllib_qatten.experiment.examples import example as find

app = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode="markdown")

Name = Annotated[
    str,
    typer.Argument(
        help="Name of an example.", show_default=False, autocompletion=lambda: list(examples())
    ),
]


@app.callback()
def example() -> None:
    """List, copy and run the experiments that come with the package."""


@app.command("list", cls=Command)
def list_() -> None:
    """List the examples: their names, and what they are."""
    rows = [(name, description(file)) for name, file in examples().items()]
    table(("name", "what it is"), rows, numbers=False)
    typer.echo("\nrllib example get NAME writes one to a file, rllib example run NAME runs it.")


@app.command(cls=Command)
def get(
    name: Name,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file (./NAME.yaml)."),
    ] = None,
) -> None:
    """Write an example to a file of your own, to read and to change."""
    source = find(name)
    target = output or Path(source.name)
    if target.is_dir():
        target /= source.name
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(source.read_text(encoding="utf-8"))
    except FileExistsError as error:
        raise BadInput(f"{target} exists already: name another file with --output.") from error
    except OSError as error:
        raise BadInput(f"{target}: cannot be written: {error.strerror}.") from error
    run = "python" if source.suffix == ".py" else "rllib train -f"
    typer.echo(f"Wrote {target}. Run it: {run} {target}")


@app.command(
    cls=Command,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def run(ctx: typer.Context, name: Name) -> None:
    """Run an example; takes every option of rllib train, such as --set and --stop."""
    source = find(name)
    if source.suffix == ".py":
        raise BadInput(
            f"{source.name} is a program: rllib example get {source.stem}, then python "
            f"{source.name}."
        )
    rllib = ctx.find_root()
    # The root is a group of commands.
    train = rllib.command.get_command(rllib, "train")  # type: ignore[attr-defined]
    with train.make_context("train", ["file", source.stem, *ctx.args], parent=rllib) as made:
        train.invoke(made)
