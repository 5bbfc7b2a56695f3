"""The `rllib` command."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from rllib_qatten.errors import BadInput

app = typer.Typer(
    name="rllib",
    help="Train teams that learn to cooperate, with Qatten and its siblings, on RLlib.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@contextlib.contextmanager
def _no_traceback() -> Iterator[None]:
    """Ends with the message and 2 for a user's mistake, with 130 for Ctrl-C."""
    try:
        yield
    except BadInput as error:
        typer.secho(f"Error: {error}", fg="red", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


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
    restore: Annotated[
        bool,
        typer.Option(
            "--restore", help="Go on with all trials of a run that ended early; else as before."
        ),
    ] = False,
) -> None:
    """Train what a YAML file describes.

    Ctrl-C stops after the running iteration, with a checkpoint, and says how to go on.
    """
    from rllib_qatten.experiment.environment import prepare, silence

    prepare()
    # Imports of Ray and torch take seconds: not for --help.
    from rllib_qatten.experiment.file import assignment, override, read
    from rllib_qatten.experiment.launch import checkpoint_folder
    from rllib_qatten.experiment.launch import train as run

    silence()  # again: importing Ray sets its loggers up
    given = words or []
    files = ([file] if file else []) + [Path(w) for w in given[given[:1] == ["file"] :]]
    with _no_traceback():
        if len(files) != 1:
            raise BadInput("give one experiment: rllib train -f FILE, or rllib train file FILE.")
        experiments = read(files[0])
        if name and len(experiments) > 1:
            raise BadInput(
                f"--name names one experiment, but {files[0]} has {len(experiments)}: choose "
                "another folder for all of them with --storage-path."
            )
        for experiment in experiments:
            experiment.stop |= dict(assignment(text, "--stop") for text in stop or [])
            for text in set_ or []:
                override(experiment.config, *assignment(text, "--set"))
            if num_samples is not None:
                experiment.num_samples = num_samples
            experiment.storage_path = storage_path or experiment.storage_path
            experiment.name = name or experiment.name
            experiment.check()
        if restore and resume:
            raise BadInput("--restore and --resume exclude each other.")
        if restore and not any(experiment.begun for experiment in experiments):
            folders = ", ".join(str(experiment.folder) for experiment in experiments)
            raise BadInput(f"--restore: there is nothing to go on with in {folders}.")
        checkpoint = checkpoint_folder(resume, experiments[0].run) if resume else None
        trials = sum(experiment.num_trials for experiment in experiments)
        if checkpoint and trials > 1:
            raise BadInput(
                f"--resume goes on with one run, but {files[0]} makes {trials}: "
                "choose one with --set KEY=VALUE and --num-samples 1."
            )
        command = ["rllib", "train", "-f", str(files[0])]
        for option, texts in (("--stop", stop), ("--set", set_)):
            for text in texts or []:
                command += [option, text]
        if num_samples is not None:
            command += ["--num-samples", str(num_samples)]
        if storage_path:
            command += ["--storage-path", storage_path]
        if name:
            command += ["--name", name]
        code = run(experiments, command, resume=checkpoint, restore=restore)
    raise typer.Exit(code)


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint's folder.", show_default=False)],
    episodes: Annotated[int, typer.Option(metavar="N", min=1, help="Greedy games to play.")] = 100,
    seed: Annotated[
        int, typer.Option(metavar="S", min=0, help="Of the games: same seed, same games.")
    ] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="env_config.KEY=VALUE",
            help="Play other games of the same shapes, e.g. env_config.engine=smax. Repeatable.",
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write everything, game by game, as JSON.")
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The first battle as .gif or .mp4 (SMAX), or all of the first game's as "
            ".SC2Replay.",
        ),
    ] = None,
) -> None:
    """Play greedy games with a trained team: win rate, return, length, survival."""
    from rllib_qatten.commands.evaluate import run
    from rllib_qatten.experiment.file import assignment, override
    from rllib_qatten.experiment.launch import silence

    silence()
    with _no_traceback():
        settings: dict[str, Any] = {"env_config": {}}
        for text in set_ or []:
            key, value = assignment(text, "--set")
            if not key.startswith("env_config."):
                raise BadInput(f"--set {key}: an evaluation takes env_config.KEY=VALUE only.")
            override(settings, key, value)
        run(checkpoint, episodes, seed, settings["env_config"], json, video)


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Folders of runs, ended or not.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Of the page and its figures.")
    ] = Path("report"),
    aggregate: Annotated[
        str, typer.Option(metavar="iqm|median", help="What joins the seeds.")
    ] = "iqm",
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all evaluations in marl-eval's layout."),
    ] = None,
) -> None:
    """Make one page of many runs: curves and final numbers with intervals, speed, settings."""
    from rllib_qatten.experiment.launch import silence

    silence()
    with _no_traceback():
        try:
            from rllib_qatten.report.page import write
        except ModuleNotFoundError as error:
            raise BadInput(f"{error}: pip install 'rllib-qatten[report]'.") from error
        warnings, page = write(runs, output, aggregate, json)
    for warning in warnings:
        typer.secho(f"Left out: {warning}", fg="yellow", err=True)
    typer.echo(f"Wrote {page}")


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint's folder.", show_default=False)],
    form: Annotated[
        str, typer.Option("--format", metavar="onnx|torch", help="ONNX, or torch.export's.")
    ] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="team_policy.onnx or .pt2 in this folder."
        ),
    ] = None,
) -> None:
    """Write the agent network as a file that acts without this package."""
    from rllib_qatten.evaluation.export import export as write
    from rllib_qatten.evaluation.team_policy import TeamPolicy

    with _no_traceback():
        file = write(TeamPolicy.from_checkpoint(checkpoint), form, output)
    typer.echo(f"Wrote {file}")


@app.command()
def doctor() -> None:
    """Say what is installed, what is missing, and the command that mends it.

    Exits with 0 if battles can be trained on with some engine, else with 1.
    """
    from rllib_qatten.commands.doctor import doctor as run

    raise typer.Exit(run())


@app.command()
def attention(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint's folder.", show_default=False)],
    episodes: Annotated[int, typer.Option(metavar="N", min=1, help="Greedy games to show.")] = 1,
    seed: Annotated[
        int, typer.Option(metavar="S", min=0, help="Of the games: same seed, same games.")
    ] = 0,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the files go.")
    ] = Path("attention"),
) -> None:
    """Show how the mixer weighs the agents: figures, pages with the battle, arrays."""
    from rllib_qatten.commands.attention import run
    from rllib_qatten.experiment.launch import silence

    silence()
    with _no_traceback():
        run(checkpoint, episodes, seed, output)


def main() -> None:
    """The console script `rllib`."""
    app()
