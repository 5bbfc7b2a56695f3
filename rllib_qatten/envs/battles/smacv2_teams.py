"""SMACv2's battles: its published ones by name, and others made of a `capability_config`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rllib_qatten.envs.battles.sc2_install import SMACV2_MAP
from rllib_qatten.errors import one_of

#: Units of each race in its published battles, their weights, those that cannot be a whole team.
TEAMS: dict[str, tuple[list[str], list[float], list[str]]] = {
    "protoss": (["stalker", "zealot", "colossus"], [0.45, 0.45, 0.1], []),
    "terran": (["marine", "marauder", "medivac"], [0.45, 0.45, 0.1], ["medivac"]),
    "zerg": (["zergling", "baneling", "hydralisk"], [0.45, 0.1, 0.45], ["baneling"]),
}
SETTINGS: dict[str, Any] = {
    "obs_own_pos": True,
    "use_unit_ranges": True,
    "min_attack_range": 2,
}
#: How SMACv2 draws armies, and where they begin.
DRAWS = ("weighted_teams", "all_teams")
PLACES = ("surrounded_and_reflect", "surrounded", "reflect_position")
#: Width and height of the one map.
MAP = 32
#: NumPy's own tolerance when it draws with weights.
TOLERANCE = 1e-8
WHERE = "env_config.capability_config"


def arguments(map_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of SMACv2's env.

    Args:
        map_name: race_N_vs_M for a published battle; 10gen_race for one with a
            `capability_config` among the other keys.
        config: The other keys.

    Raises:
        ValueError: If they make no battle.
    """
    match = SMACV2_MAP.fullmatch(map_name)
    assert match is not None
    race, allies, enemies = match.groups()
    named = {"map_name": f"10gen_{race}"} | SETTINGS
    given = config.get("capability_config")
    if allies:
        if given is not None:
            raise ValueError(
                f"{WHERE}: the battle {map_name} has its own. For another one say map_name: "
                f"10gen_{race}."
            )
        return named | {"capability_config": published(race, int(allies), int(enemies))} | config
    if given is None:
        raise ValueError(
            f"env_config.map_name {map_name!r} needs a capability_config beside it; or name one of "
            f"SMACv2's battles, such as {race}_5_vs_5."
        )
    check(race, given)
    return named | config


def published(race: str, allies: int, enemies: int) -> dict[str, Any]:
    """The `capability_config` of a published battle."""
    types, weights, exceptions = TEAMS[race]
    team = {"dist_type": "weighted_teams", "unit_types": types, "weights": weights, "observe": True}
    if exceptions:
        team["exception_unit_types"] = exceptions
    places = {"dist_type": "surrounded_and_reflect", "p": 0.5, "map_x": MAP, "map_y": MAP}
    return {"n_units": allies, "n_enemies": enemies, "team_gen": team, "start_positions": places}


def check(race: str, config: Any) -> None:
    """Refuses what makes no teams; SMACv2 itself would draw for ever, or fail in each game.

    Raises:
        ValueError: For the first fault.
    """
    if not isinstance(config, Mapping):
        raise ValueError(f"{WHERE} must be a mapping; got {config!r}.")
    for key in ("n_units", "n_enemies"):
        if type(config.get(key)) is not int or config[key] < 1:
            raise ValueError(
                f"{WHERE}.{key} must be a whole number, 1 or more; got {config.get(key)!r}."
            )
    for key, part in config.items():
        if key not in ("n_units", "n_enemies") and not isinstance(part, Mapping):
            raise ValueError(f"{WHERE}.{key} must be a mapping with a dist_type; got {part!r}.")
    if "team_gen" not in config:
        raise ValueError(f"{WHERE} needs team_gen, which says what units there are.")
    _check_team(race, config["team_gen"], config["n_units"], config["n_enemies"])
    if places := config.get("start_positions"):
        where = f"{WHERE}.start_positions"
        one_of(str(places.get("dist_type")), PLACES, f"{where}.dist_type")
        for key in ("map_x", "map_y"):
            if type(places.get(key)) not in (int, float) or not 0 < places[key] <= MAP:
                raise ValueError(
                    f"{where}.{key} must be a number above 0, at most {MAP}; got "
                    f"{places.get(key)!r}."
                )


def _check_team(race: str, team: Mapping, allies: int, enemies: int) -> None:
    where, known = f"{WHERE}.team_gen", TEAMS[race][0]
    how = one_of(str(team.get("dist_type")), DRAWS, f"{where}.dist_type")
    if not isinstance(team.get("observe"), bool):
        raise ValueError(f"{where}.observe must be true or false; got {team.get('observe')!r}.")
    units, barred = team.get("unit_types"), team.get("exception_unit_types", [])
    for key, listed in (("unit_types", units), ("exception_unit_types", barred)):
        if not isinstance(listed, list | tuple):
            raise ValueError(f"{where}.{key} must be a list of units; got {listed!r}.")
        for unit in listed:
            one_of(unit, known, f"unit of the {race} in {where}.{key}")
    possible = list(units or ())
    if how == "weighted_teams":
        weights = team.get("weights")
        if (
            not isinstance(weights, list | tuple)
            or len(weights) != len(possible)
            or any(type(w) not in (int, float) or not 0 <= w <= 1 for w in weights)
            or not math.isclose(sum(weights), 1, abs_tol=TOLERANCE)
        ):
            raise ValueError(
                f"{where}.weights must be a probability for each of unit_types, 1 in all; got "
                f"{weights!r} for {possible!r}."
            )
        possible = [unit for unit, weight in zip(possible, weights, strict=True) if weight]
    elif enemies != allies:
        raise ValueError(
            f"{where}: all_teams draws one army for both sides: n_enemies must be n_units, "
            f"{allies}; got {enemies}."
        )
    if set(possible) <= set(barred):
        raise ValueError(
            f"{where} makes no team: every one of unit_types, {possible!r}, is among "
            "exception_unit_types, which cannot be a whole team."
        )
