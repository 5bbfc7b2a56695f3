"""`rllib train`: reads experiments, changes them as asked, and launches them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rllib_qatten.errors import BadInput


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
        int | None, typer.Option(metavar="N", help="Run the whole grid this many times.")
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
        typer.Option(metavar="CHECKPOINT", help="Continue from this checkpoint of an earlier run."),
    ] = None,
    restore: Annotated[
        bool,
        typer.Option(
            "--restore",
            help="Continue all trials of a run that ended early; else as before.",
        ),
    ] = False,
) -> None:
    """Train what a YAML file describes.

    Ctrl-C stops after the running iteration, with a checkpoint, and says how to continue.
    """
    from rllib_qatten.experiment.file import assignment, override, read
    from rllib_qatten.experiment.launch import checkpoint_folder, silence
    from rllib_qatten.experiment.launch import train as launch

    silence()
    given = words or []
    files = ([file] if file else []) + [Path(w) for w in given[given[:1] == ["file"] :]]
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
    again = _command(files[0], stop, set_, num_samples, storage_path, name)
    raise typer.Exit(launch(experiments, again, resume=checkpoint, restore=restore))


def _command(
    file: Path,
    stop: list[str] | None,
    set_: list[str] | None,
    num_samples: int | None,
    storage_path: str | None,
    name: str | None,
) -> list[str]:
    """The words that start the same again, whether or not it goes on."""
    words = ["rllib", "train", "-f", str(file)]
    for option, texts in (("--stop", stop), ("--set", set_)):
        for text in texts or []:
            words += [option, text]
    if num_samples is not None:
        words += ["--num-samples", str(num_samples)]
    for option, value in (("--storage-path", storage_path), ("--name", name)):
        words += [option, value] if value else []
    return words
