"""Armies by name: which units fight a battle on SMAX, and for how many steps.

A name counts units as SMAC's maps do: `3s5z` is three stalkers and five zealots against the same,
`5m_vs_6m` five marines against six. Armies may also be given in full, as
`{allies: {stalker: 3, zealot: 5}, enemies: {zealot: 9}}`. Both ways lead to one battle with one
name.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: SMAX's unit types in the order of its numbers, and how names write them. `z` is the zealot, as on
#: all of SMAC's maps but one.
LETTERS = {
    "marine": "m",
    "marauder": "M",
    "stalker": "s",
    "zealot": "z",
    "zergling": "zg",
    "hydralisk": "h",
}
UNITS = tuple(LETTERS)
#: Units of SMAC's and SMACv2's that SMAX does not have, and how SMAC's names write them.
ELSEWHERE = {
    "medivac": "",
    "colossus": "c",
    "baneling": "b",
    "spine crawler": "sc",
}
#: The battle where none is named.
DEFAULT = "3s5z"
#: SMAC's names that do not count units: what they stand for.
ALIASES = {"corridor": "6z_vs_24zg"}
#: SMAC's maps that need a unit which SMAX does not have.
NEEDS = {
    "MMM": "medivac",
    "MMM2": "medivac",
    "so_many_baneling": "baneling",
    "bane_vs_bane": "baneling",
    "2s_vs_1sc": "spine crawler",
    "1c3s5z": "colossus",
    "2c_vs_64zg": "colossus",
}
#: Steps after which a battle is cut off: SMAC's limit per map.
SMAC_LIMITS = {
    "2m_vs_1z": 150,
    "3m": 60,
    "5m_vs_6m": 70,
    "8m": 120,
    "8m_vs_9m": 120,
    "10m_vs_11m": 150,
    "25m": 150,
    "27m_vs_30m": 180,
    "2s3z": 120,
    "3s5z": 150,
    "3s5z_vs_3s6z": 170,
    "3s_vs_3z": 150,
    "3s_vs_4z": 200,
    "3s_vs_5z": 250,
    "6h_vs_8z": 150,
    "corridor": 400,
}
#: Of all other battles: SMACv2's, whatever the armies.
OTHER_LIMIT = 200
#: Armies that each battle draws anew, of one size on both sides, placed as in SMACv2.
DRAWN = re.compile(r"smacv2_([1-9]\d{0,2})_units")
#: Units of a side at most: a name takes no more memory than a battle, whoever wrote it.
LARGEST_ARMY = 1000
SIDES = ("allies", "enemies")
_COUNT = re.compile(r"(\d+)([A-Za-z]+)")
HOW = (
    "Name an army by its units, such as 3s5z, 8m_vs_9m or 6s9z_vs_6s10z ("
    + ", ".join(f"{letter} {unit}" for unit, letter in LETTERS.items())
    + "), or give {allies: {stalker: 3}, enemies: {zealot: 5}}."
)


@dataclass(frozen=True)
class Armies:
    """Who fights whom.

    Attributes:
        allies: [N] numbers of the units' types, see `UNITS`; zeros if they are drawn.
        enemies: The same of the enemies.
        drawn: Whether every battle draws its units and their places, as in SMACv2.
    """

    allies: tuple[int, ...]
    enemies: tuple[int, ...]
    drawn: bool = False

    @property
    def name(self) -> str:
        """The battle's one name: SMAC's where SMAC has the map."""
        if self.drawn:
            return f"smacv2_{len(self.allies)}_units"
        ours, theirs = _written(self.allies), _written(self.enemies)
        name = ours if ours == theirs else f"{ours}_vs_{theirs}"
        return next((alias for alias, full in ALIASES.items() if full == name), name)

    @property
    def episode_limit(self) -> int:
        """Steps after which a battle is cut off: SMAC's, or SMACv2's where SMAC lacks the map."""
        return SMAC_LIMITS.get(self.name, OTHER_LIMIT)

    @classmethod
    def read(cls, map_name: Any) -> Armies:
        """Reads env_config.map_name.

        Args:
            map_name: A name, or a mapping of `allies` and, if they differ, `enemies` to units and
                how many there are of each.

        Raises:
            ValueError: If it names no army, or a unit that SMAX does not have.
        """
        if isinstance(map_name, Mapping):
            return cls._counted(map_name)
        name = str(map_name)
        if match := DRAWN.fullmatch(name):
            units = (0,) * int(match[1])
            return cls(units, units, drawn=True)
        if name in NEEDS:
            raise _lacks(name, NEEDS[name])
        sides = ALIASES.get(name, name).split("_vs_")
        if len(sides) > 2:
            raise _unknown(name)
        armies = [_parsed(side, name) for side in sides]
        return cls(armies[0], armies[-1])

    @classmethod
    def _counted(cls, given: Mapping) -> Armies:
        for side in given:
            if side not in SIDES:
                raise ValueError(f"env_config.map_name: unknown side {side!r}. {HOW}")
        if "allies" not in given:
            raise ValueError(f"env_config.map_name: {dict(given)} names no allies. {HOW}")
        armies = {}
        for side in SIDES:
            units = given.get(side, given["allies"])
            if not isinstance(units, Mapping):
                raise ValueError(
                    f"env_config.map_name: {side} must be a mapping of units to how many there "
                    f"are, such as {{stalker: 3, zealot: 5}}; got {units!r}."
                )
            for unit, count in units.items():
                _known(str(unit), f"env_config.map_name: {side}")
                if type(count) is not int or count < 0:
                    raise ValueError(
                        f"env_config.map_name: {side}.{unit} must be a whole number, 0 or more; "
                        f"got {count!r}."
                    )
            armies[side] = _sorted(units, f"env_config.map_name: {side} {dict(units)}")
        return cls(armies["allies"], armies["enemies"])


def _parsed(side: str, name: str) -> tuple[int, ...]:
    """One side's units."""
    parts = _COUNT.findall(side)
    if "".join(count + letter for count, letter in parts) != side or not parts:
        raise _unknown(name)
    by_letter = {letter: unit for unit, letter in LETTERS.items()}
    units: Counter = Counter()
    for count, letter in parts:
        elsewhere = next((unit for unit, other in ELSEWHERE.items() if other == letter), None)
        if elsewhere:
            raise _lacks(name, elsewhere)
        if letter not in by_letter:
            raise ValueError(
                f"env_config.map_name {name!r}: SMAX has no unit that names write as {letter!r}. "
                + HOW
            )
        units[by_letter[letter]] += int(count)
    return _sorted(units, f"env_config.map_name {name!r}: {side!r}")


def _sorted(units: Mapping[Any, int], where: str) -> tuple[int, ...]:
    """The units' types in the order of their numbers, as in all of SMAC's names."""
    if sum(units.values()) > LARGEST_ARMY:
        raise ValueError(f"{where}: more than {LARGEST_ARMY} units on a side.")
    types = tuple(t for t, unit in enumerate(UNITS) for _ in range(units.get(unit, 0)))
    if not types:
        raise ValueError(f"{where} is an army of nobody: each side needs a unit.")
    return types


def _known(unit: str, where: str) -> None:
    if unit in UNITS:
        return
    if (other := unit.replace("_", " ")) in ELSEWHERE:
        raise _lacks(where.removeprefix("env_config.map_name: "), other)
    nearest = difflib.get_close_matches(unit.lower(), UNITS, 1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    raise ValueError(f"{where}: SMAX has no {unit!r}, but {', '.join(UNITS)}.{hint}")


def _lacks(name: str, unit: str) -> ValueError:
    maps = ", ".join(other for other, needed in NEEDS.items() if needed == unit)
    where = "" if name in NEEDS else f", on its maps {maps}"
    return ValueError(
        f"env_config.map_name: {name} needs the {unit}, which SMAX does not have (it has "
        f"{', '.join(UNITS)}). StarCraft II has it: engine: sc2{where}."
    )


def _unknown(name: str) -> ValueError:
    named = [*SMAC_LIMITS, *NEEDS, "smacv2_5_units"]
    nearest = difflib.get_close_matches(name, named, 2)
    hint = f" Did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
    return ValueError(f"env_config.map_name {name!r} is not a battle on SMAX.{hint} {HOW}")


def _written(types: tuple[int, ...]) -> str:
    return "".join(
        f"{count}{LETTERS[UNITS[unit]]}" for unit, count in sorted(Counter(types).items())
    )


def one_name(map_name: Any) -> Any:
    """A battle's one name, whatever way it was given; what is none on SMAX remains as it is."""
    try:
        return Armies.read(map_name).name
    except ValueError:
        return map_name


def with_one_name(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with `env` and `env_config`, in which a battle goes by its one name."""
    env_config = settings.get("env_config") or {}
    if settings.get("env") != "smac" or not isinstance(env_config, Mapping):
        return {**settings}
    battle = one_name(env_config.get("map_name", DEFAULT))
    return {**settings, "env_config": {**env_config, "map_name": battle}}
