"""`rllib config`: every setting, its value and meaning, and where it comes from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rllib_qatten.commands.arguments import Only
from rllib_qatten.commands.terminal import line, paragraph, table
from rllib_qatten.errors import BadInput, one_of
from rllib_qatten.experiment.examples import file_or_example

if TYPE_CHECKING:
    from rllib_qatten.experiment.experiment import Experiment
    from rllib_qatten.experiment.explain import Setting


def config(
    algorithm: Annotated[
        str | None,
        typer.Argument(metavar="[ALGORITHM]", help="Its name; see rllib algorithms."),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SETTING]...", help="Only these settings.", show_default=False),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", metavar="FILE", help="The settings of this experiment or example."
        ),
    ] = None,
    only: Only = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="As in rllib train. Repeatable."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those of RLlib's that are rarely set.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of JSON objects.")] = False,
) -> None:
    """Show an algorithm's settings: value, where it comes from, default, meaning.

    A value comes from the default, a recipe, a preset, the file, or the command line.
    """
    if algorithm is None and file is None:
        raise BadInput("name an algorithm, as in rllib config Qatten, or a file: -f FILE.")
    if only and file is None:
        raise BadInput("--only chooses among the experiments of a file: give one with -f FILE.")
    from rllib_qatten.experiment.process_environment import prepare, silence

    prepare()
    if file and algorithm is not None and not _is_algorithm(algorithm):
        names = [algorithm, *(names or ())]
        algorithm = None
    changes = set_ or ()
    if file:
        found = _of_file(file, tuple(only or ()), tuple(changes), algorithm)
    else:
        found = _of(str(algorithm), changes)
    silence()
    shown = []
    for title, made, settings in found:
        for name in names or ():
            _check_name(name, title, made, settings)
        if names:
            chosen = [setting for setting in settings if setting.name in names]
        else:
            chosen = [setting for setting in settings if everything or not setting.shared]
        shown.append((title, chosen, len(settings) - len(chosen)))
    if as_json:
        rows = [{"of": title} | dataclasses.asdict(s) for title, chosen, _ in shown for s in chosen]
        typer.echo(json.dumps(rows, indent=1, default=str))
        return
    for title, chosen, hidden in shown:
        line(title, style="bold")
        _print(chosen)
        if hidden and not names:
            line(f"{hidden} more settings are RLlib's own: --all shows them.")


def _is_algorithm(word: str) -> bool:
    from rllib_qatten.algorithms.resolve import algorithm_class

    try:
        return bool(":" in word or algorithm_class(word))
    except ValueError:
        return False


def _check_name(name: str, title: str, algorithm: Any, settings: list[Setting]) -> None:
    """Refuses what is no setting of an algorithm."""
    from rllib_qatten.algorithms.layered_config import LayeredConfig
    from rllib_qatten.algorithms.unknown_setting import of_others

    known = [setting.name for setting in settings]
    config = algorithm.get_default_config()
    try:
        if name not in known and isinstance(config, LayeredConfig):
            if told := of_others(name, config):
                raise ValueError(told)
        one_of(name, known, "setting")
    except ValueError as error:
        raise BadInput(f"{title}: {error}") from error


def _of(algorithm: str, set_: Iterable[str]) -> list[tuple[str, Any, list[Setting]]]:
    """The settings of an algorithm without an experiment."""
    from rllib_qatten.algorithms.resolve import algorithm_class
    from rllib_qatten.experiment.experiment import Experiment
    from rllib_qatten.experiment.explain import settings
    from rllib_qatten.experiment.file import assignment, override

    try:
        found = algorithm_class(algorithm)
        given: dict[str, Any] = {}
        for text in set_:
            key, value = assignment(text, "--set")
            override(given, key, value)
        file = Path("command line")
        _check(Experiment(file=file, name=algorithm, run=algorithm, config=given), found)
        return [(algorithm, found, settings(found, given, frozenset(given)))]
    except (ValueError, ModuleNotFoundError) as error:
        raise BadInput(str(error)) from error


def _check(experiment: Experiment, algorithm: Any) -> None:
    """Refuses unknown settings, and values that no setting has."""
    from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
    from rllib_qatten.experiment.settings import check_kinds, validated

    for variant in experiment.variants():
        if variant["env"] is None:  # of an algorithm alone
            del variant["env"]
        check_kinds(experiment, algorithm, variant)
        if issubclass(algorithm, ValueDecomposition):
            validated(experiment, algorithm, variant)


def _of_file(
    file: Path, only: tuple[str, ...], set_: tuple[str, ...], algorithm: str | None
) -> list[tuple[str, Any, list[Setting]]]:
    """The settings of a file's experiments."""
    from rllib_qatten.algorithms.resolve import algorithm_class
    from rllib_qatten.experiment.explain import explained
    from rllib_qatten.experiment.file import Changes, read

    found = []
    changes = Changes(set_=set_, only=only)
    for experiment in read(file_or_example(file), changes):
        with experiment.locating("run"):
            made = algorithm_class(experiment.run)
        if algorithm is not None and algorithm != experiment.run:
            raise experiment.error("run", f"is {experiment.run}, not {algorithm}.")
        _check(experiment, made)
        title = f"{experiment.name}: {experiment.run}"
        found.append((title, made, explained(experiment, made, changes.settings)))
    return found


def _print(settings: Iterable[Setting]) -> None:
    for setting in settings:
        value = "-" if setting.value is None else str(setting.value)
        of = "" if setting.source == "default" else f"from {setting.source}"
        default = of and setting.default != setting.value and f"; default {setting.default}"
        line(f"{setting.name:<30} {value:<20} {of}{default or ''}".rstrip())
        paragraph(setting.meaning)


def differing(settings: Iterable[Setting]) -> None:
    """Prints what an experiment sets, as a table."""
    rows = [(s.name, s.value, s.source, s.default) for s in settings if s.source != "default"]
    table(("setting", "value", "from", "default"), rows, numbers=False)
