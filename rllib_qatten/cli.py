"""The `rllib` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="rllib",
    help="Train teams that learn to cooperate, with Qatten and its siblings, on RLlib.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def train(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="file FILE", help="The same as -f FILE.", show_default=False),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", metavar="FILE", help="Experiment in Tune's YAML format."),
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Stop when a result reaches this, e.g. training_iteration=10. Repeatable.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change the config, e.g. lr=0.001 or env_config.map_name=3m. Repeatable.",
        ),
    ] = None,
    num_samples: Annotated[
        int | None, typer.Option(metavar="N", help="Run the whole grid so many times.")
    ] = None,
    storage_path: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Where results go (~/ray_results)."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Their folder in there (the experiment's name)."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="CHECKPOINT", help="Go on from this checkpoint of an earlier run."),
    ] = None,
) -> None:
    """Train what a YAML file describes.

    Ctrl-C stops after the running iteration, with a checkpoint, and says how to go on.
    """
    # Imports of Ray and torch take seconds: not for --help.
    from rllib_qatten.experiment import BadInput
    from rllib_qatten.experiment_file import assignment, override, read
    from rllib_qatten.launch import checkpoint_folder, silence
    from rllib_qatten.launch import train as run

    silence()
    given = words or []
    files = ([file] if file else []) + [Path(w) for w in given[given[:1] == ["file"] :]]
    try:
        if len(files) != 1:
            raise BadInput("give one experiment: rllib train -f FILE, or rllib train file FILE.")
        experiment = read(files[0])
        experiment.stop |= dict(assignment(text, "--stop") for text in stop or [])
        for text in set_ or []:
            override(experiment.config, *assignment(text, "--set"))
        if num_samples is not None:
            experiment.num_samples = num_samples
        experiment.storage_path = storage_path or experiment.storage_path
        experiment.name = name or experiment.name
        experiment.check()
        checkpoint = checkpoint_folder(resume) if resume else None
        if checkpoint and experiment.num_trials > 1:
            raise BadInput(
                f"--resume goes on with one run, but {files[0]} makes {experiment.num_trials}: "
                "choose one with --set KEY=VALUE and --num-samples 1."
            )
        command = ["rllib", "train", "-f", str(files[0])]
        for option, texts in (("--stop", stop), ("--set", set_)):
            for text in texts or []:
                command += [option, text]
        if storage_path:
            command += ["--storage-path", storage_path]
        if name:
            command += ["--name", name]
        code = run(experiment, checkpoint, command)
    except BadInput as error:
        typer.secho(f"Error: {error}", fg="red", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(code)


@app.command()
def doctor() -> None:
    """Say what is installed, what is missing, and the command that mends it.

    Exits with 0 if battles can be trained on with some engine, else with 1.
    """
    from rllib_qatten.doctor import doctor as run

    raise typer.Exit(run())


def main() -> None:
    """The console script `rllib`."""
    app()
