"""`rllib train`: reads experiments, applies the command line's changes, and launches them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rllib_qatten.commands.arguments import Only, key_values
from rllib_qatten.commands.config import differing
from rllib_qatten.commands.terminal import line
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.examples import file_or_example
from rllib_qatten.experiment.screen import Screen
from rllib_qatten.messages import say

if TYPE_CHECKING:
    from rllib_qatten.experiment.file import Changes
    from rllib_qatten.experiment.tuner import Plan


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
    only: Only = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", "--algo", metavar="NAME", help="The algorithm, instead of the file's."
        ),
    ] = None,
    env: Annotated[
        str | None,
        typer.Option(metavar="ENV", help="The environment, instead of the file's."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help="Settings, as RLlib's own command took them: '{\"lr\": 0.001}'."
        ),
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Stop when a result reaches this, e.g. training_iteration=10. Repeatable; "
            "JSON too.",
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
        typer.Option(
            "--storage-path",
            "--local-dir",
            metavar="FOLDER",
            help="Folder for results (~/ray_results).",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            "--experiment-name",
            metavar="NAME",
            help="Subfolder for this run (the experiment's name).",
        ),
    ] = None,
    checkpoint_freq: Annotated[
        int | None, typer.Option(metavar="N", help="Iterations between two checkpoints.")
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
    progress: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="auto, live (a line that shows what is going on), plain, or json: one JSON line "
            "per result on standard output.",
        ),
    ] = "auto",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check everything, show the settings and the costs, and run nothing."
        ),
    ] = False,
) -> None:
    """Run the experiment in a YAML file, an example by its name, or --run and --env.

    Ctrl-C, SIGTERM and SIGHUP stop it after the running iteration, with a checkpoint, and print how
    to continue.
    """
    given = words or []
    files = ([file] if file else []) + [Path(w) for w in given[given[:1] == ["file"] :]]
    if len(files) > 1 or (not files and run is None):
        raise BadInput(
            "give one experiment: rllib train -f FILE, rllib train file FILE, or rllib train "
            "--run ALGORITHM --env ENV."
        )
    changed = {
        "stop": tuple(key_values(stop or (), "--stop")),
        "set_": (*key_values(() if config is None else [config], "--config"), *(set_ or ())),
        "num_samples": num_samples, "storage_path": storage_path, "name": name,
        "run": run, "env": env, "checkpoint_freq": checkpoint_freq, "only": tuple(only or ()),
    }  # fmt: skip
    with Screen(progress) as screen:
        screen.doing(f"Checking {files[0].stem if files else run}")
        code = _train(files[0] if files else None, changed, screen, resume, restore, dry_run)
    raise typer.Exit(code)


def _train(
    file: Path | None,
    changed: dict[str, Any],
    screen: Screen,
    resume: Path | None,
    restore: bool,
    dry_run: bool,
) -> int:
    """Checks everything, trains, and returns the exit code; `changed` are those of `Changes`."""
    from rllib_qatten.experiment.process_environment import prepare, silence

    prepare()
    from rllib_qatten.checkpoints.folder import UNPICKLES
    from rllib_qatten.experiment.checks import check
    from rllib_qatten.experiment.file import Changes, of_words, read
    from rllib_qatten.experiment.launch import train as launch
    from rllib_qatten.experiment.restoring import is_done, tell_of_unfinished
    from rllib_qatten.experiment.resuming import checkpoint_to_resume, differences

    silence()  # again: importing Ray sets up its loggers
    changes = Changes(**changed)
    experiments = read(file_or_example(file), changes) if file else [of_words(changes)]
    if restore and resume:
        raise BadInput("give either --restore or --resume, not both.")
    continues = restore or resume is not None
    plans = [check(experiment, continues) for experiment in experiments]
    if restore and not any(plan.begun for plan in plans):
        folders = ", ".join(str(plan.experiment.folder) for plan in plans)
        raise BadInput(f"--restore: there is nothing to continue in {folders}.")
    if restore:
        plans = [plan for plan in plans if not (plan.begun and is_done(plan))]
        if not plans:
            return 0
    for plan in () if continues else plans:
        tell_of_unfinished(plan)
    checkpoint = checkpoint_to_resume(resume, plans[0]) if resume else None
    trials = sum(plan.experiment.num_trials for plan in plans)
    if checkpoint and trials > 1:
        raise BadInput(
            f"--resume continues one run, but {file or 'this'} makes {trials}: "
            "choose one with --set KEY=VALUE and --num-samples 1."
        )
    if checkpoint:
        say(f"{checkpoint}: {UNPICKLES}")
        if others := differences(checkpoint, plans[0]):
            print("\n  ".join(["Resumed with other settings:", *others]), file=sys.stderr)
    if dry_run:
        screen.close()
        return _show(plans, changes)
    again = ["rllib", "train", *(["-f", str(file)] if file else []), *changes.words()]
    return launch(plans, again, screen, resume=checkpoint, restore=restore)


def _show(plans: list[Plan], changes: Changes) -> int:
    """Prints what would run and what it would cost."""
    from rllib_qatten.algorithms.resolve import algorithm_class
    from rllib_qatten.experiment.costs import cost
    from rllib_qatten.experiment.explain import explained

    for plan in plans:
        experiment = plan.experiment
        line(f"{experiment.name}: {experiment.run} on {experiment.environment}", style="bold")
        found = explained(experiment, algorithm_class(experiment.run), changes.settings)
        differing(found)
        stops = ", ".join(f"{key} {goal:,.10g}" for key, goal in experiment.stop.items()) or "never"
        about = [*cost(plan).lines(), ("stops at", stops), ("results", str(experiment.folder))]
        for what, how in about:
            line(f"{what:<9} {how}")
    line("Nothing was run. rllib config -f FILE shows all settings with their meaning.")
    return 0
