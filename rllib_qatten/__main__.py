"""The `rllib` command, also `python -m rllib_qatten`: its subcommands, put together."""

from __future__ import annotations

import importlib.metadata
from typing import Annotated, Any

import typer

from rllib_qatten.commands.attention import attention
from rllib_qatten.commands.config import config
from rllib_qatten.commands.doctor import doctor
from rllib_qatten.commands.evaluate import evaluate
from rllib_qatten.commands.example import app as example
from rllib_qatten.commands.export import export
from rllib_qatten.commands.groups import Command, Group
from rllib_qatten.commands.lists import algorithms, envs, maps
from rllib_qatten.commands.report import report
from rllib_qatten.commands.schema import schema
from rllib_qatten.commands.train import train
from rllib_qatten.commands.zoo import zoo
from rllib_qatten.errors import BadInput, EngineFailed
from rllib_qatten.messages import printable
from rllib_qatten.version import __version__


class _Commands(Group):
    """Prints the message; exits with 2 for a user's mistake, 1 for an engine's, 130 for Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        """See base class."""
        try:
            return super().invoke(ctx)
        except (BadInput, EngineFailed) as error:
            # It may quote a file from an untrusted source.
            lines = [printable(line, longest=4000) for line in str(error).split("\n")]
            typer.secho("\n".join(["Error: " + lines[0], *lines[1:]]), fg="red", err=True)
            raise typer.Exit(2 if isinstance(error, BadInput) else 1) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


def _say_version(wanted: bool) -> None:
    if wanted:
        ray = importlib.metadata.version("ray")
        typer.echo(f"rllib_qatten {__version__}, Ray {ray}")
        raise typer.Exit


def rllib(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Train teams that learn to cooperate, with Qatten and its siblings, on RLlib."""


app = typer.Typer(
    name="rllib",
    cls=_Commands,
    callback=rllib,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for command in (train, evaluate, report, attention, export):
    app.command(cls=Command)(command)
app.add_typer(example, name="example")
for about in (zoo, config, algorithms, envs, maps, doctor, schema):
    app.command(cls=Command)(about)


def main() -> None:
    """The console script `rllib`."""
    app(prog_name="rllib")


if __name__ == "__main__":
    main()
