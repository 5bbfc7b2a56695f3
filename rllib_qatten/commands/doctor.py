"""`rllib doctor`: what training needs and is here, and the command that mends what isn't."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from packaging.specifiers import SpecifierSet
from rich.console import Console
from rich.table import Table

from rllib_qatten import installed, memory

if TYPE_CHECKING:
    from rllib_qatten.envs.battles.engine import Finding

#: What needs a finding, where it is no engine.
ALL, EXTRAS = "every engine", "extras"
#: Extras of what is beside training; the engines look after their own.
OPTIONAL = ("report", "export", "envs", "optuna", "wandb", "mlflow")
#: A battle and a replay to measure the machine by: the main job's, with the default replay.
BATTLE, EPISODES = "3s5z", 5_000


def doctor() -> None:
    """Say what is installed, what is missing, and the command that mends it.

    Exits with 0 if battles can be trained on with some engine, else with 1. Where StarCraft II is
    installed, a game is started.
    """
    found = examine()
    table = Table("needed by", "what", "state", "found", box=None, pad_edge=False)
    for of, findings in found.items():
        for finding in findings:
            table.add_row(of, finding.name, _state(finding), finding.found)
    # In a file a line must not depend on how wide a terminal is.
    Console(width=None if sys.stdout.isatty() else 1000, highlight=False).print(table)
    for of, findings in found.items():
        if mends := [finding.mend for finding in findings if finding.mend]:
            typer.echo(f"\nFor {of}:")
            for mend in dict.fromkeys(mends):
                typer.echo(f"  {mend}")
    engines = playable(found)
    typer.echo(
        f"\nReady to train with {' and '.join(engines)}."
        if engines
        else "\nNo engine can play SMAC's battles here. " + _without(found)
    )
    raise typer.Exit(0 if engines else 1)


def _state(finding: Finding) -> str:
    if finding.good:
        return "[green]ok[/]"
    return "[red]missing[/]" if finding.needed else "[yellow]optional[/]"


def _good(findings: list[Finding]) -> bool:
    return all(finding.good for finding in findings if finding.needed)


def playable(found: dict[str, list[Finding]]) -> list[str]:
    """The engines with which training is possible."""
    engines = [of for of, findings in found.items() if of not in (ALL, EXTRAS) and _good(findings)]
    return engines if _good(found[ALL]) else []


def _without(found: dict[str, list[Finding]]) -> str:
    if _good(found[ALL]):
        return "The small games and envs of your own can be trained on."
    return "Nothing can be trained before the above is mended."


def examine() -> dict[str, list[Finding]]:
    """Looks for everything: what needs it -> what was found. Each engine looks for its own."""
    from rllib_qatten.envs.battles.smac import ENGINES

    found = {ALL: [*_base(), *_machine()]}
    # The engine-free one first, as it is for everybody.
    for name, engine in reversed(ENGINES.items()):
        found[f"engine {name}"] = list(engine.findings())
    return found | {EXTRAS: list(_extras())}


def _base() -> Iterator[Finding]:
    """Python, this package, and all that it requires."""
    import torch

    from rllib_qatten.envs.battles.engine import Finding

    try:
        about = importlib.metadata.metadata(installed.NAME)
        findings = list(installed.check())
    except importlib.metadata.PackageNotFoundError:
        mend = "pip install -c constraints.txt -e ."
        yield Finding("rllib_qatten", "not installed by pip: no versions known", False, mend)
        return
    python, accepted = platform.python_version(), SpecifierSet(about["Requires-Python"] or "")
    good = accepted.contains(python, prereleases=True)
    yield Finding("Python", python if good else f"{python}; needed is {accepted}", good)
    yield Finding("rllib_qatten", about["Version"])
    shown = {"ray": "Ray", "torch": "torch"}
    lacking = [name for name, _, fits in findings if not fits and name not in shown]
    for name, version, fits in findings:
        if name in shown or not fits:
            yield Finding(shown.get(name, name), version, fits, "" if fits else _pip(name))
    others = len(findings) - len(shown) - len(lacking)
    yield Finding("other packages", f"{others} in their ranges")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Finding("GPU", ", ".join(gpus) or "none, and none is needed")


def _pip(name: str) -> str:
    """The command that installs a requirement as the package states it."""
    needed = next(needed for needed in installed.requirements() if needed.name == name)
    extras = f"[{','.join(sorted(needed.extras))}]" if needed.extras else ""
    return f"pip install '{needed.name}{extras}{needed.specifier}'"


def _machine() -> Iterator[Finding]:
    """Memory and disk, beside what the replay of a battle takes."""
    from rllib_qatten.envs.battles.armies import Armies
    from rllib_qatten.envs.battles.engine import Finding
    from rllib_qatten.envs.battles.smax import battle_bytes

    needs = EPISODES * battle_bytes(Armies.read(BATTLE))
    replay = f"a full replay of {EPISODES:,} battles of {BATTLE} takes up to"
    home = Path.home()
    for name, free, what in (
        ("memory", memory.available(), "free"),
        ("disk", shutil.disk_usage(home).free, f"free in {home}; checkpoints hold the replay too"),
    ):
        hint = "" if free > needs else ": set replay_capacity_episodes lower"
        found = f"{memory.gigabytes(free)} {what}; {replay} {memory.gigabytes(needs)}{hint}"
        yield Finding(name, found, free > needs, needed=False)


def _extras() -> Iterator[Finding]:
    from rllib_qatten.envs.battles.engine import Finding

    for extra in OPTIONAL:
        try:
            findings = list(installed.check(extra))
        except importlib.metadata.PackageNotFoundError:
            return
        good = all(fits for *_, fits in findings)
        found = ", ".join(f"{name} {version}" for name, version, _ in findings)
        mend = "" if good else f"pip install '{installed.NAME}[{extra}]'"
        yield Finding(extra, found, good, mend, needed=False)
