"""The env `smac`: a SMAC map on whichever engine plays it."""

from __future__ import annotations

import functools
from typing import Any

from rllib_qatten.envs.adapters.single_game import SingleGame
from rllib_qatten.envs.battles import sc2_install, smax
from rllib_qatten.envs.battles.sc2 import SC2Settings, SC2Teams
from rllib_qatten.envs.battles.sc2_install import Problem
from rllib_qatten.errors import one_of
from rllib_qatten.messages import say

ENGINES = ("auto", "smax", "sc2")
SETTINGS = ("map_name", "engine")


@functools.cache
def _say_fallback(why: str) -> None:
    say(
        f"engine: auto plays SMAX, the engine-free re-implementation, because {why}. "
        "SMAX win rates are not comparable with SMAC's."
    )


def make_smac(config: dict[str, Any] | None = None) -> SingleGame:
    """Makes the env `smac`.

    Args:
        config: `map_name` (default "3s5z") and `engine`: "sc2" is StarCraft II, "smax" the
            engine-free re-implementation, "auto" (default) the first of them that is there. For
            StarCraft II further `SC2Settings` and arguments of SMAC's own env.

    Raises:
        ValueError: For an unknown setting, engine or map, naming what is accepted.
        ModuleNotFoundError: If the engine that was asked for is not installed.
    """
    config = dict(config or {})
    map_name = config.pop("map_name", "3s5z")
    engine = one_of(config.pop("engine", "auto"), ENGINES, "env_config.engine")
    known = map_name in sc2_install.SMAC_MAPS or sc2_install.package_of(str(map_name)) == "smacv2"
    if engine == "sc2" and not known:
        one_of(map_name, sc2_install.SMAC_MAPS, "env_config.map_name")
    missing: Problem | None = None
    if engine != "smax" and known:
        missing = next(sc2_install.problems(map_name), None)
        if not missing:
            settings = SC2Settings.read(map_name, config)
            return SingleGame(functools.partial(SC2Teams, settings))
    if engine == "sc2" and missing:
        raise ModuleNotFoundError(
            f"engine: sc2 cannot play {map_name}: {missing.what}. To mend it: {missing.mend}  "
            "All that is missing: rllib doctor. Use engine: smax for the engine-free battles."
        )
    why = f", which cannot be played here: {missing.what}" if missing else ""
    for key in config:
        one_of(key, SETTINGS, f"env_config key of SMAX (further ones are StarCraft II's{why})")
    if map_name not in smax.EPISODE_LIMITS:
        raise ValueError(
            f"env_config.map_name {map_name!r} is not among SMAX's maps: "
            f"{', '.join(smax.EPISODE_LIMITS)}. The other SMAC maps (MMM, corridor, 1c3s5z, ...) "
            f"need StarCraft II, engine: sc2{why}."
        )
    if not smax.installed():
        raise ModuleNotFoundError(smax.HOW_TO_INSTALL)
    if missing:
        _say_fallback(missing.what)
    return SingleGame(functools.partial(smax.SMAXTeams, map_name))
