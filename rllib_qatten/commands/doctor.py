"""What of all that training needs is here, and the command that mends what isn't."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from rllib_qatten.envs.battles import sc2_install

#: As in pyproject.toml.
RAY = SpecifierSet(">=2.60.0,<2.61")
JAXMARL = "0.2.0"
#: From here on protobuf refuses StarCraft II's messages, but in pure Python.
PROTOBUF_TOO_NEW = Version("3.21")

#: What a finding belongs to.
ALL, SMAX, SC2 = "every engine", "engine smax", "engine sc2"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Attributes:
        of: What needs it: `ALL`, `SMAX` or `SC2`.
        name: What it is.
        found: What was found.
        good: Whether that will do.
        mend: The command that mends it, if one does.
    """

    of: str
    name: str
    found: str
    good: bool = True
    mend: str = ""


def doctor() -> None:
    """Say what is installed, what is missing, and the command that mends it.

    Exits with 0 if battles can be trained on with some engine, else with 1.
    """
    findings = list(examine())
    table = Table("needed by", "what", "state", "found", box=None, pad_edge=False)
    for finding in findings:
        state = "[green]ok[/]" if finding.good else "[red]missing[/]"
        table.add_row(finding.of, finding.name, state, finding.found)
    # In a file a line must not depend on how wide a terminal is.
    Console(width=None if sys.stdout.isatty() else 1000, highlight=False).print(table)
    for of in (ALL, SMAX, SC2):
        mends = [finding.mend for finding in findings if finding.of == of and finding.mend]
        if mends:
            typer.echo(f"\nFor {of}:")
            for mend in dict.fromkeys(mends):
                typer.echo(f"  {mend}")
    engines = playable(findings)
    typer.echo(
        f"\nReady to train with {' and '.join(engines)}."
        if engines
        else "\nNo engine can play SMAC's battles here. " + _without(findings)
    )
    raise typer.Exit(0 if engines else 1)


def playable(findings: list[Finding]) -> list[str]:
    """The engines with which training is possible."""
    bad = {finding.of for finding in findings if not finding.good}
    return [] if ALL in bad else [of for of in (SMAX, SC2) if of not in bad]


def _without(findings: list[Finding]) -> str:
    if all(finding.good for finding in findings if finding.of == ALL):
        return "The small games and envs of your own can be trained on."
    return "Nothing can be trained before the above is mended."


def examine() -> Iterator[Finding]:
    """Looks for everything. StarCraft II's package is asked in a process of its own."""
    import torch

    yield Finding(ALL, "Python", platform.python_version(), sys.version_info >= (3, 11))
    yield Finding(ALL, "rllib_qatten", _version("rllib-qatten") or "not installed by pip")
    ray = _version("ray")
    in_range = ray is not None and ray in RAY
    found = f"{ray}" if in_range else f"{ray}; tested is {RAY}"
    yield Finding(ALL, "Ray", found, in_range, "" if in_range else f"pip install 'ray[rllib]{RAY}'")
    yield Finding(ALL, "torch", torch.__version__)
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Finding(ALL, "GPU", ", ".join(gpus) or "none, and none is needed")
    yield from _smax()
    yield from _sc2()


def _smax() -> Iterator[Finding]:
    jaxmarl, jax = _version("jaxmarl"), _version("jax")
    good = jaxmarl == JAXMARL and jax is not None
    found = f"{jaxmarl} (jax {jax})" if good else f"{jaxmarl}; needed is {JAXMARL}"
    yield Finding(SMAX, "jaxmarl", found, good, "" if good else "pip install 'rllib-qatten[smax]'")


def _sc2() -> Iterator[Finding]:
    from rllib_qatten.envs import EngineFailed
    from rllib_qatten.envs.battles import sc2_install
    from rllib_qatten.envs.battles.sc2 import SC2Settings

    pysc2 = _version("pysc2")
    yield Finding(SC2, "pysc2", f"{pysc2}", bool(pysc2), "" if pysc2 else sc2_install.GET_PYSC2)
    protobuf = _version("protobuf")
    note = ""
    if protobuf and Version(protobuf) >= PROTOBUF_TOO_NEW:
        note = ": too new for StarCraft II's messages, so game processes run it in pure Python"
    yield Finding(SC2, "protobuf", f"{protobuf}{note}")
    problem = sc2_install.package_problem("smac")
    folder = sc2_install.package_folder("smac")
    found = f"{sc2_install.package_version('smac')} in {folder}"
    yield _finding("smac", found, problem)
    v2 = sc2_install.package_folder("smacv2")
    found = f"{sc2_install.package_version('smacv2')} in {v2}" if v2 else "none; for its maps only"
    yield Finding(SC2, "smacv2", found)
    game = sc2_install.game_problem()
    named = "SC2PATH" if os.environ.get("SC2PATH") else "SC2PATH not set"
    builds = ", ".join(map(str, sc2_install.game_builds()))
    yield _finding("game", f"build {builds} in {sc2_install.game_folder()} ({named})", game)
    if game:
        return
    maps = [name for name in sc2_install.SMAC_MAPS if sc2_install.map_file(name).is_file()]
    lacking = [name for name in sc2_install.SMAC_MAPS if name not in maps]
    found = f"{len(maps)} of {len(sc2_install.SMAC_MAPS)}"
    if lacking:
        found += f", without {' '.join(lacking)}"
    mend = sc2_install.map_problem(lacking[0]) if lacking else None
    yield Finding(SC2, "maps", found, bool(maps), mend.mend if mend else "")
    if pysc2 and not problem:
        try:
            yield Finding(SC2, "smac answers", SC2Settings.read("3m", {}).spec.engine)
        except (EngineFailed, ValueError) as error:
            mend_it = f"{sc2_install.GET_PYSC2} && {sc2_install.get_package('smac')}"
            yield Finding(SC2, "smac answers", str(error), False, mend_it)


def _finding(name: str, found: str, problem: sc2_install.Problem | None) -> Finding:
    if problem:
        return Finding(SC2, name, problem.what, False, problem.mend)
    return Finding(SC2, name, found)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
