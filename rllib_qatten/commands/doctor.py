"""`rllib doctor`: what training needs, what is installed, and how to install the rest."""

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

from rllib_qatten.hardware import machine

if TYPE_CHECKING:
    from rllib_qatten.envs.battles.engine import Finding

#: What needs a finding, other than an engine.
ALL, EXTRAS = "every engine", "extras"
#: Extras for more than training, and what they bring; engines check their own requirements.
OPTIONAL = {
    "fast": "compiled updates",
    "report": "pages, figures, MP4",
    "export": "ONNX files",
    "envs": "MPE2, LBF, RWARE",
    "optuna": "Optuna's searches",
    "wandb": "Weights & Biases",
    "mlflow": "MLflow",
}
#: The battle and replay that memory and disk are compared with: 3s5z with the default replay.
BATTLE, EPISODES = "3s5z", 5_000


def doctor() -> None:
    """Show what is installed, what is missing, and the commands that fix it.

    Exits with 0 if some engine can play battles for training, else with 1. If StarCraft II is
    installed, this starts a game.
    """
    found = examine()
    _table(found, terminal=sys.stdout.isatty())
    for of, findings in found.items():
        if fixes := [finding.fix for finding in findings if finding.fix]:
            typer.echo(f"\nFor {of}:")
            for fix in dict.fromkeys(fixes):
                typer.echo(f"  {fix}")
    engines = playable(found)
    typer.echo(
        f"\nReady to train with {' and '.join(engines)}."
        if engines
        else "\nNo engine can play SMAC's battles here. " + _without(found)
    )
    raise typer.Exit(0 if engines else 1)


def _table(found: dict[str, list[Finding]], terminal: bool) -> None:
    """On a terminal, where there is less room, what needs it is a line above."""
    heads = ("what", "state", "found") if terminal else ("needed by", "what", "state", "found")
    table = Table(*heads, box=None, pad_edge=False, show_header=not terminal)
    for of, findings in found.items():
        if terminal:
            table.add_row(f"[bold]{of}[/]")
        for finding in findings:
            cells = (finding.name, _state(finding), finding.found)
            table.add_row(*cells if terminal else (of, *cells))
    # In a file, lines must not depend on the terminal's width.
    Console(width=None if terminal else 1000, highlight=False).print(table)


def _state(finding: Finding) -> str:
    if finding.good:
        return "[green]ok[/]"
    return "[red]missing[/]" if finding.needed else "[yellow]optional[/]"


def _good(findings: list[Finding]) -> bool:
    return all(finding.good for finding in findings if finding.needed)


def playable(found: dict[str, list[Finding]]) -> list[str]:
    """The engines that can be trained with."""
    engines = [of for of, findings in found.items() if of not in (ALL, EXTRAS) and _good(findings)]
    return engines if _good(found[ALL]) else []


def _without(found: dict[str, list[Finding]]) -> str:
    if _good(found[ALL]):
        return "The small games and your own envs can be trained on."
    return "Nothing can be trained until the above is fixed."


def examine() -> dict[str, list[Finding]]:
    """Checks everything: what needs it -> what was found. Each engine checks its own needs."""
    from rllib_qatten.envs.battles.smac import ENGINES

    found = {ALL: [*_base(), *_machine()]}
    # The one without StarCraft II first, since everyone can use it.
    for name, engine in reversed(ENGINES.items()):
        found[f"engine {name}"] = list(engine.findings())
    return found | {EXTRAS: list(_extras())}


def _base() -> Iterator[Finding]:
    """Python, this package, and everything that it requires."""
    import torch

    from rllib_qatten.compiled import compiler
    from rllib_qatten.envs.battles.engine import Finding
    from rllib_qatten.hardware.product_choice import choice

    try:
        about = importlib.metadata.metadata(machine.NAME)
        findings = list(machine.check_requirements())
    except importlib.metadata.PackageNotFoundError:
        fix = "pip install -c constraints.txt -e ."
        yield Finding("rllib_qatten", "not installed by pip: versions unknown", False, fix)
        return
    python, accepted = platform.python_version(), SpecifierSet(about["Requires-Python"] or "")
    good = accepted.contains(python, prereleases=True)
    yield Finding("Python", python if good else f"{python}; needs {accepted}", good)
    yield Finding("rllib_qatten", about["Version"])
    shown = {"ray": "Ray", "torch": "torch"}
    lacking = [name for name, _, fits in findings if not fits and name not in shown]
    for name, version, fits in findings:
        if name in shown or not fits:
            yield Finding(shown.get(name, name), version, fits, "" if fits else _pip(name))
    others = len(findings) - len(shown) - len(lacking)
    yield Finding("other packages", f"{others} within their version ranges")
    yield Finding("processor", f"{machine.processor()}; {machine.cpus()} usable")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Finding("GPU", ", ".join(gpus) or "none (none is needed)")
    fewest, reason = choice()
    product = "torch's own" if fewest is None else f"oneDNN from {fewest} rows"
    yield Finding("matrix products", f"{product} ({reason})")
    without = compiler.unavailable()
    found = f"torch's slower functions: {without}" if without else f"kept in {compiler.folder()}"
    yield Finding("compiled updates", found, not without, needed=False)


def _pip(name: str) -> str:
    """The command that installs a requirement in the version that the package asks for."""
    needed = next(needed for needed in machine.requirements() if needed.name == name)
    extras = f"[{','.join(sorted(needed.extras))}]" if needed.extras else ""
    return f"pip install '{needed.name}{extras}{needed.specifier}'"


def _machine() -> Iterator[Finding]:
    """Memory and disk space, compared to what a full replay takes."""
    from rllib_qatten.envs.battles.armies import Armies
    from rllib_qatten.envs.battles.engine import Finding
    from rllib_qatten.envs.battles.smax import battle_bytes

    needs = EPISODES * battle_bytes(Armies.read(BATTLE))
    replay = f"{EPISODES:,} battles of {BATTLE} in replay: {machine.gigabytes(needs)}"
    home = Path.home()
    for name, free, what in (
        ("memory", machine.available_memory(), "free"),
        ("disk", shutil.disk_usage(home).free, f"free in {home}"),
    ):
        hint = "" if free > needs else "; set replay_capacity_episodes lower"
        found = f"{machine.gigabytes(free)} {what}; {replay}{hint}"
        yield Finding(name, found, free > needs, needed=False)


def _extras() -> Iterator[Finding]:
    from rllib_qatten.envs.battles.engine import Finding

    for extra, brings in OPTIONAL.items():
        try:
            findings = list(machine.check_requirements(extra))
        except importlib.metadata.PackageNotFoundError:
            return
        good = all(fits for *_, fits in findings)
        missing = [f"{name} {version}" for name, version, fits in findings if not fits]
        found = f"{brings}: {'; '.join(missing) or 'all there'}"
        fix = "" if good else f"pip install '{machine.NAME}[{extra}]'  # {brings}"
        yield Finding(extra, found, good, fix, needed=False)
