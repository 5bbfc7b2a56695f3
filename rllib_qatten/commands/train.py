"""`rllib train`: reads experiments, applies the command line's changes, and launches them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rllib_qatten.errors import BadInput
from rllib_qatten.messages import say


def train(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="file FILE", help="The same as -f FILE.", show_default=False),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="Experiment in Tune's YAML format, or an example's name (rllib example list).",
        ),
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
        int | None, typer.Option(metavar="N", help="Number of runs of the whole grid.")
    ] = None,
    storage_path: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Folder for results (~/ray_results)."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Subfolder for this run (the experiment's name)."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="Start from this checkpoint of an earlier run, if you trust it: it is unpickled.",
        ),
    ] = None,
    restore: Annotated[
        bool,
        typer.Option(
            "--restore",
            help="Continue all trials of a run that ended early, with the settings it had.",
        ),
    ] = False,
) -> None:
    """Run the experiment in a YAML file, or an example by its name.

    Ctrl-C, SIGTERM and SIGHUP stop it after the running iteration, with a checkpoint, and print how
    to continue.
    """
    from rllib_qatten.experiment.process_environment import prepare, silence

    prepare()
    from rllib_qatten.checkpoints.folder import UNPICKLES
    from rllib_qatten.experiment.checks import check
    from rllib_qatten.experiment.examples import file_or_example
    from rllib_qatten.experiment.file import Changes, read
    from rllib_qatten.experiment.launch import train as launch
    from rllib_qatten.experiment.resuming import checkpoint_to_resume, differences

    silence()  # again: importing Ray sets up its loggers
    given = words or []
    files = ([file] if file else []) + [Path(w) for w in given[given[:1] == ["file"] :]]
    if len(files) != 1:
        raise BadInput("give one experiment: rllib train -f FILE, or rllib train file FILE.")
    changes = Changes(tuple(stop or ()), tuple(set_ or ()), num_samples, storage_path, name)
    plans = [check(experiment) for experiment in read(file_or_example(files[0]), changes)]
    if restore and resume:
        raise BadInput("give either --restore or --resume, not both.")
    if restore and not any(plan.begun for plan in plans):
        folders = ", ".join(str(plan.experiment.folder) for plan in plans)
        raise BadInput(f"--restore: there is nothing to continue in {folders}.")
    checkpoint = checkpoint_to_resume(resume, plans[0]) if resume else None
    trials = sum(plan.experiment.num_trials for plan in plans)
    if checkpoint and trials > 1:
        raise BadInput(
            f"--resume continues one run, but {files[0]} makes {trials}: "
            "choose one with --set KEY=VALUE and --num-samples 1."
        )
    if checkpoint:
        say(f"{checkpoint}: {UNPICKLES}")
        if changed := differences(checkpoint, plans[0]):
            typer.echo("\n  ".join(["Resumed with other settings:", *changed]), err=True)
    again = ["rllib", "train", "-f", str(files[0]), *changes.words()]
    raise typer.Exit(launch(plans, again, resume=checkpoint, restore=restore))
