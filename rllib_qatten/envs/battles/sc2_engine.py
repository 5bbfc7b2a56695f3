"""StarCraft II as an engine of the env `smac`: what it plays, needs, and is missing here."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from packaging.version import Version

from rllib_qatten.envs.battles import sc2_install
from rllib_qatten.envs.battles.engine import BattleEngine, Finding, Problem
from rllib_qatten.envs.battles.sc2 import LAUNCH_FACTOR, SC2Teams
from rllib_qatten.envs.battles.sc2_process import Lost, ask
from rllib_qatten.envs.battles.sc2_settings import SC2Settings
from rllib_qatten.envs.team import TeamVector
from rllib_qatten.errors import EngineFailed, one_of
from rllib_qatten.hardware import machine

#: From this version on, protobuf accepts StarCraft II's messages in pure Python only.
PROTOBUF_TOO_NEW = Version("3.21")


class SC2Engine(BattleEngine):
    """The engine `sc2` of the env `smac`."""

    name = "sc2"
    title = "StarCraft II"

    def check_battle(self, map_name: Any) -> None:
        """See base class."""
        if not isinstance(map_name, str):
            raise ValueError(
                f"env_config.map_name: StarCraft II plays SMAC's own maps, by their names; got "
                f"{map_name!r}. SMAX plays any armies: engine: smax."
            )
        if not sc2_install.SMACV2_MAP.fullmatch(map_name):
            what = "env_config.map_name of engine sc2 (SMAX plays any armies, engine: smax)"
            one_of(map_name, sc2_install.SMAC_MAPS, what)

    def problem(self, map_name: Any) -> Problem | None:
        """See base class."""
        return next(sc2_install.problems(map_name), None)

    def vectorizer(self, map_name: Any, config: dict[str, Any]) -> Callable[[int], TeamVector]:
        """See base class."""
        return functools.partial(SC2Teams, SC2Settings.read(map_name, config).checked())

    def findings(self) -> Iterator[Finding]:
        """See base class; the last one is a game that was started, if all else is installed."""
        found = list(self._installed())
        yield from found
        if all(finding.good for finding in found if finding.needed):
            yield self._played()

    def _installed(self) -> Iterator[Finding]:
        pysc2 = machine.installed_version("pysc2")
        yield Finding("pysc2", pysc2 or "not installed", bool(pysc2), _get(pysc2))
        protobuf, note = machine.installed_version("protobuf"), ""
        if protobuf and Version(protobuf) >= PROTOBUF_TOO_NEW:
            note = ": too new for StarCraft II's messages, so game processes run it in pure Python"
        yield Finding("protobuf", f"{protobuf or 'not installed'}{note}", bool(protobuf))
        folder = sc2_install.package_folder("smac")
        found = f"{sc2_install.package_version('smac')} in {folder}"
        yield _finding("smac", found, sc2_install.package_problem("smac"))
        v2 = sc2_install.package_folder("smacv2")
        found = f"{sc2_install.package_version('smacv2')} in {v2}" if v2 else "not installed"
        yield Finding("smacv2", f"{found}; for its maps only", bool(v2), needed=False)
        game = sc2_install.game_problem()
        named = "SC2PATH" if os.environ.get("SC2PATH") else "SC2PATH not set"
        builds = ", ".join(map(str, sc2_install.game_builds()))
        yield _finding("game", f"build {builds} in {sc2_install.game_folder()} ({named})", game)
        if not game:
            yield self._maps()

    def _maps(self) -> Finding:
        every = sc2_install.SMAC_MAPS
        lacking = [name for name in every if not sc2_install.map_file(name).is_file()]
        found = f"{len(every) - len(lacking)} of {len(every)}"
        if not lacking:
            return Finding("maps", found)
        problem = sc2_install.map_problem(lacking[0])
        found += f", without {' '.join(lacking)}"
        return Finding("maps", found, len(lacking) < len(every), problem.fix if problem else "")

    def _played(self) -> Finding:
        """Starts a battle on an installed map."""
        maps = (name for name in sc2_install.SMAC_MAPS if sc2_install.map_file(name).is_file())
        map_name, start = next(maps), time.monotonic()
        try:
            settings = SC2Settings.read(map_name, {}).checked()
            spec = settings.spec
        except (EngineFailed, ValueError) as error:
            fix = f"{sc2_install.GET_PYSC2} && {sc2_install.get_package('smac')}"
            return Finding("smac answers", _one_line(error), False, fix)
        process = settings.start(0)
        try:
            answer = ask(process, LAUNCH_FACTOR * settings.hang_timeout_s, "reset")
        finally:
            words = process.close()
        if isinstance(answer, Lost):
            found = f"{map_name} does not start: {answer}. {words}"
            return Finding("a game", _one_line(found), False)
        took = time.monotonic() - start
        return Finding("a game", f"{map_name} started after {took:.0f} s, {spec.engine}")


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _get(there: str | None) -> str:
    return "" if there else sc2_install.GET_PYSC2


def _finding(name: str, found: str, problem: Problem | None) -> Finding:
    if problem:
        return Finding(name, problem.what, False, problem.fix)
    return Finding(name, found)
