"""What of StarCraft II is installed here, found without importing or starting any of it.

PyPI's project `smac` is another one (AutoML's SMAC3), and both install a package and a distribution
of that name. They are told apart by their files: only the StarCraft one has `env/starcraft2`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from rllib_qatten.envs.battles.engine import Problem

#: SMAC's maps.
SMAC_MAPS = (
    *("3m", "8m", "25m", "5m_vs_6m", "8m_vs_9m", "10m_vs_11m", "27m_vs_30m"),
    *("MMM", "MMM2", "2s3z", "3s5z", "3s5z_vs_3s6z", "3s_vs_3z", "3s_vs_4z", "3s_vs_5z"),
    *("1c3s5z", "2m_vs_1z", "corridor", "6h_vs_8z", "2s_vs_1sc", "so_many_baneling"),
    *("bane_vs_bane", "2c_vs_64zg"),
)
#: SMACv2's battles: a race and two numbers, or its own names with a capability_config.
SMACV2_MAP = re.compile(r"(?:10gen_)?(protoss|terran|zerg)(?:_([1-9]\d*)_vs_([1-9]\d*))?")
#: On this one map it plays all of them.
SMACV2_MAP_FILE = "32x32_flat"
MAPS_FOLDER = Path("Maps", "SMAC_Maps")

#: Neither is on PyPI. Without their own pins, which would take protobuf back below 3.21.
COMMITS = {
    "smac": "d6aab33f76abc3849c50463a8592a84f59a5ef84",
    "smacv2": "577ab5a2cff2391f8df582da5731ea9cd6adf3c6",
}
GET_PYSC2 = "pip install 'rllib-qatten[sc2]'"
#: The password is how Blizzard has the license accepted: it is the user's to give.
GET_GAME = (
    "curl -O http://blzdistsc2-a.akamaihd.net/Linux/SC2.4.10.zip && unzip -q SC2.4.10.zip -d ~ && "
    "export SC2PATH=~/StarCraftII  # password: see github.com/Blizzard/s2client-proto"
)

#: Game's folder where SC2PATH is not set, and its program below Versions/Base*; as pysc2 has it.
PLACES = {
    "Linux": ("~/StarCraftII", "SC2_x64"),
    "Darwin": ("/Applications/StarCraft II", "SC2.app/Contents/MacOS/SC2"),
}


def package_of(map_name: str) -> str:
    """The package that plays a map: "smac" or "smacv2"."""
    return "smacv2" if SMACV2_MAP.fullmatch(map_name) else "smac"


def package_folder(package: str) -> Path | None:
    """Folder of the package if it is the StarCraft one."""
    spec = importlib.util.find_spec(package)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    return next((f for f in folders if (f / "env" / "starcraft2").is_dir()), None)


def get_package(package: str) -> str:
    """The command that installs it."""
    return f"pip install --no-deps git+https://github.com/oxwhirl/{package}@{COMMITS[package]}"


def package_problem(package: str) -> Problem | None:
    """What is wrong with the package, if anything."""
    get = get_package(package)
    if package_folder(package):
        return None
    spec = importlib.util.find_spec(package)
    if spec is None:
        what = f"the package '{package}' (github.com/oxwhirl/{package}) is not installed"
        return Problem(what, get)
    where = next(iter(spec.submodule_search_locations or ()), spec.origin)
    return Problem(
        f"the package '{package}' in {where} is another project of that name, "
        f"PyPI's SMAC3 by AutoML{_version_of_other(package)}, not the StarCraft Multi-Agent "
        "Challenge",
        f"pip uninstall -y {package} && {get}",
    )


def _version_of_other(package: str) -> str:
    try:
        return " " + importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def package_version(package: str) -> str:
    """Version of the StarCraft package; "(not installed by pip)" if it is only on the path."""
    folder = package_folder(package)
    for distribution in importlib.metadata.distributions(name=package):
        if folder and Path(str(distribution.locate_file(package))).resolve() == folder.resolve():
            return distribution.version
    return "(not installed by pip)"


def game_folder() -> Path:
    """Where the game is, or would be."""
    default, _ = PLACES.get(platform.system(), PLACES["Linux"])
    return Path(os.environ.get("SC2PATH") or default).expanduser()


def _versions() -> Iterator[tuple[Path, Path]]:
    """Each folder of a version of the game, with its program, there or not."""
    _, program = PLACES.get(platform.system(), PLACES["Linux"])
    for folder in sorted(game_folder().glob("Versions/Base*")):
        yield folder, folder / program


def game_builds() -> list[int]:
    """Build numbers of the game's versions that are installed."""
    names = [folder.name.removeprefix("Base") for folder, file in _versions() if file.is_file()]
    return sorted(int(name) for name in names if name.isdigit())


def game_problem() -> Problem | None:
    """What is wrong with the game, if anything."""
    if platform.system() not in PLACES:
        return Problem(f"{platform.system()} is not among {', '.join(PLACES)}", "use Linux or WSL")
    home, folder = os.environ.get("SC2PATH"), game_folder()
    if not folder.is_dir():
        where = f"SC2PATH is {home!r}, which" if home else f"SC2PATH is not set and {folder}"
        return Problem(f"{where} is not a folder", GET_GAME)
    if not game_builds():
        program = PLACES[platform.system()][1]
        what = f"{folder} holds no StarCraft II: Versions/Base*/{program} is missing"
        return Problem(what, GET_GAME)
    return _version_problem()


def _version_problem() -> Problem | None:
    """What among the versions of the game keeps pysc2 from starting the newest."""
    versions = list(_versions())
    for folder, _ in versions:
        if not folder.name.removeprefix("Base").isdigit():
            # pysc2 takes all that begins with Base for a version.
            return Problem(
                f"{folder} is named like a version of the game, but is not one",
                f'mv "{folder}" "{folder.parent.parent}"',
            )
    newest, program = max(versions, key=lambda version: int(version[0].name.removeprefix("Base")))
    if not program.is_file():
        return Problem(
            f"of the game's versions the newest is started, {newest}, and its program "
            f"{program.relative_to(newest)} is missing",
            f'mv "{newest}" "{newest.parent.parent}"',
        )
    if not os.access(program, os.X_OK):
        return Problem(f"{program} may not be executed", f'chmod +x "{program}"')
    return None


def map_file(map_name: str) -> Path:
    """The file of a map."""
    name = SMACV2_MAP_FILE if package_of(map_name) == "smacv2" else map_name
    return game_folder() / MAPS_FOLDER / f"{name}.SC2Map"


def map_problem(map_name: str) -> Problem | None:
    """What is wrong with a map's file, if anything."""
    file = map_file(map_name)
    if file.is_file():
        return None
    package = package_of(map_name)
    clone = f"git clone --depth 1 https://github.com/oxwhirl/{package}.git /tmp/{package}"
    maps = f"/tmp/{package}/{package}/env/starcraft2/maps/SMAC_Maps"
    return Problem(
        f"the map's file {file} is missing",
        f'{clone} && mkdir -p "{file.parents[1]}" && cp -r {maps} "{file.parents[1]}"',
    )


def problems(map_name: str) -> Iterator[Problem]:
    """All that keeps StarCraft II from being played on a map; nothing is imported or started."""
    if importlib.util.find_spec("pysc2") is None:
        yield Problem("the package 'pysc2', StarCraft II's client, is not installed", GET_PYSC2)
    for problem in (package_problem(package_of(map_name)), game_problem()):
        if problem:
            yield problem
    if not game_problem() and (problem := map_problem(map_name)):
        yield problem
