"""The `rllib` command, also `python -m rllib_qatten`: its subcommands, put together."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from rllib_qatten.commands.attention import attention
from rllib_qatten.commands.doctor import doctor
from rllib_qatten.commands.evaluate import evaluate
from rllib_qatten.commands.example import app as example
from rllib_qatten.commands.export import export
from rllib_qatten.commands.report import report
from rllib_qatten.commands.schema import schema
from rllib_qatten.commands.train import train
from rllib_qatten.errors import BadInput, EngineFailed
from rllib_qatten.messages import printable


class _Commands(TyperGroup):
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


app = typer.Typer(
    name="rllib",
    cls=_Commands,
    help="Train teams that learn to cooperate, with Qatten and its siblings, on RLlib.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (train, evaluate, report, export, doctor, attention, schema):
    app.command()(command)
app.add_typer(example, name="example")


def main() -> None:
    """The console script `rllib`."""
    app()


if __name__ == "__main__":
    main()
