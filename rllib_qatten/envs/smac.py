"""The env `smac`: a SMAC map on whichever engine plays it."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from rllib_qatten.envs import smax
from rllib_qatten.envs.single_game import SingleGame
from rllib_qatten.suggest import one_of

ENGINES = ("auto", "smax", "sc2")
SETTINGS = ("map_name", "engine")


def sc2_missing() -> str | None:
    """What keeps StarCraft II from being played here, or None. Imports nothing."""
    spec = importlib.util.find_spec("smac")
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not any((Path(folder) / "env" / "starcraft2").is_dir() for folder in folders):
        if folders:
            return (
                f"the package 'smac' in {folders[0]} is another project of that name "
                "(AutoML's SMAC3), not the StarCraft Multi-Agent Challenge"
            )
        return "the package 'smac' (github.com/oxwhirl/smac) is not installed"
    home = os.environ.get("SC2PATH")
    if not home:
        return "the environment variable SC2PATH does not name a StarCraft II installation"
    if not Path(home).is_dir():
        return f"SC2PATH is {home!r}, which is no folder"
    return "this version of rllib_qatten does not play StarCraft II yet"


@functools.cache
def _say_fallback(why: str) -> None:
    print(
        f"engine: auto plays SMAX, the engine-free re-implementation, because {why}. "
        "SMAX win rates are not comparable with SMAC's.",
        file=sys.stderr,
        flush=True,
    )


def make_smac(config: dict[str, Any] | None = None) -> SingleGame:
    """Makes the env `smac`.

    Args:
        config: `map_name` (default "3s5z") and `engine`: "sc2" is StarCraft II, "smax" the
            engine-free re-implementation, "auto" (default) the first of them that is there.

    Raises:
        ValueError: For an unknown setting, engine or map, naming what is accepted.
        ModuleNotFoundError: If the engine that was asked for is not installed.
    """
    config = dict(config or {})
    for key in config:
        one_of(key, SETTINGS, "env_config key of the env 'smac'")
    map_name = config.get("map_name", "3s5z")
    engine = one_of(config.get("engine", "auto"), ENGINES, "env_config.engine")
    missing = sc2_missing() if engine != "smax" else None
    if engine == "sc2":
        raise ModuleNotFoundError(
            f"engine: sc2 cannot play {map_name}: {missing}. "
            "Use engine: smax for the engine-free battles."
        )
    if map_name not in smax.EPISODE_LIMITS:
        raise ValueError(
            f"env_config.map_name {map_name!r} is not among SMAX's maps: "
            f"{', '.join(smax.EPISODE_LIMITS)}. The other SMAC maps (MMM, corridor, 1c3s5z, ...) "
            "need StarCraft II, engine: sc2."
        )
    if not smax.installed():
        raise ModuleNotFoundError(smax.HOW_TO_INSTALL)
    if missing:
        _say_fallback(missing)
    return SingleGame(functools.partial(smax.SMAXTeams, map_name))
