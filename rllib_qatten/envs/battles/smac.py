"""The env `smac`: a SMAC map, or another battle, on whichever engine plays it."""

from __future__ import annotations

import functools
from typing import Any

from rllib_qatten.envs.adapters.single_game import SingleGame
from rllib_qatten.envs.battles.armies import DEFAULT, one_name
from rllib_qatten.envs.battles.engine import BattleEngine, Problem
from rllib_qatten.envs.battles.sc2_engine import SC2Engine
from rllib_qatten.envs.battles.smax import SMAXEngine
from rllib_qatten.errors import one_of
from rllib_qatten.messages import say

#: The engines that play battles, in the order in which `engine: auto` tries them.
ENGINES: dict[str, BattleEngine] = {engine.name: engine for engine in (SC2Engine(), SMAXEngine())}
AUTO = "auto"


@functools.cache
def _say_fallback(title: str, why: str) -> None:
    say(
        f"engine: auto plays {title}, because {why}. Its win rates are not comparable with those "
        "of another engine."
    )


def make_smac(config: dict[str, Any] | None = None) -> SingleGame:
    """Creates the env `smac`.

    Args:
        config: `map_name` (default "3s5z"; for SMAX, see `Armies`) and `engine`: "sc2" is StarCraft
            II, "smax" the engine-free re-implementation, "auto" (default) the first of them that
            has the battle and is installed. StarCraft II also takes `SC2Settings` and the arguments
            of SMAC's own env.

    Raises:
        ValueError: For an unknown setting, engine or map, naming what is accepted.
        ModuleNotFoundError: If the engine that was asked for is not installed.
    """
    config = dict(config or {})
    map_name = config.pop("map_name", DEFAULT)
    name = one_of(config.pop("engine", AUTO), (AUTO, *ENGINES), "env_config.engine")
    if name != AUTO:
        engine = ENGINES[name]
        engine.check_battle(map_name)
        if problem := engine.problem(map_name):
            raise ModuleNotFoundError(_missing(engine, map_name, problem))
        return SingleGame(engine.vectorizer(map_name, config))
    engine, why = _first(map_name)
    try:
        vectorizer = engine.vectorizer(map_name, config)
    except ValueError as error:
        because = f" engine: auto plays {engine.title}, because {why}." if why else ""
        raise ValueError(f"{error}{because}") from error
    if why:
        _say_fallback(engine.title, why)
    return SingleGame(vectorizer)


def _first(map_name: Any) -> tuple[BattleEngine, str]:
    """The first engine that plays a battle here, and why those before it do not.

    Raises:
        ValueError: If no engine has the battle, or the only one that has it is not installed.
        ModuleNotFoundError: If several have it and none is installed.
    """
    unfit: list[str] = []
    missing: list[tuple[BattleEngine, Problem]] = []
    errors: list[ValueError] = []
    for engine in ENGINES.values():
        try:
            engine.check_battle(map_name)
        except ValueError as error:
            errors.append(error)
            unfit.append(f"{engine.title} has no battle {_said(map_name)}")
            continue
        problem = engine.problem(map_name)
        if not problem:
            return engine, " and ".join(unfit)
        missing.append((engine, problem))
        unfit.append(problem.what)
    if missing and errors:
        # The message of the engine without the battle; the one that has it is not installed.
        raise ValueError(f"{errors[0]} That cannot be played here: {missing[0][1].what}.")
    if missing:
        raise ModuleNotFoundError(_missing(missing[-1][0], map_name, missing[-1][1]))
    # SMAX's first: it plays any armies, so it says what is wrong with a name.
    raise ValueError(" ".join(map(str, reversed(errors))))


def _said(map_name: Any) -> str:
    """A name as the user wrote it: engines differ in how many names a battle may have."""
    return str(map_name if isinstance(map_name, str) else one_name(map_name))


def _missing(engine: BattleEngine, map_name: Any, problem: Problem) -> str:
    others = [other for other in ENGINES if other != engine.name]
    return (
        f"engine: {engine.name} cannot play {_said(map_name)}: {problem.what}. To fix it: "
        f"{problem.fix}  All that is missing: rllib doctor. Other engines: {', '.join(others)}."
    )
