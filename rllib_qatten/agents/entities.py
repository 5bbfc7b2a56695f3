"""How an observation is made of units: what an agent that sees them as a set needs to know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Whole = Annotated[int, Field(strict=True, ge=0, le=2**20)]
#: A part of an observation or of a row: where it starts and where it stops.
Span = tuple[Whole, Whole]
Names = Annotated[tuple[Annotated[str, Field(max_length=100)], ...], Field(max_length=10_000)]


class Rows(BaseModel):
    """Rows of an observation, one per unit, one after another.

    A row of zeros is a unit that the agent does not see: it counts for nothing.

    Attributes:
        start: Where the first row starts.
        count: R, how many there are.
        size: F, how many numbers are in each.
        skip: The numbers in each row that name units by their places, such as whom a unit
            attacked. A set has no places, so they are left out.
        position: The numbers in each row that say where the unit is, seen from the agent. Its
            distance is added to them. None if there are none, or it is among them.
        aims: Two numbers, if the one in `skip` names the unit of the other side that this unit
            aims at: it is `aims[0]` + j `aims[1]` if that is enemy or agent j. How many aim at a
            unit is then told in that unit's row. None if it names something else.
        features: What the numbers in a row are, [F] names; None if that is not said.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Whole
    count: Whole
    size: Annotated[Whole, Field(ge=1)]
    skip: Span | None = None
    position: Span | None = None
    aims: tuple[float, float] | None = None
    features: Names | None = None

    @property
    def stop(self) -> int:
        """Where the last row stops."""
        return self.start + self.count * self.size

    def with_columns(self, start: int, names: Names) -> Rows:
        """Rows from `start` on, with so many numbers more at the end of each."""
        return Rows(
            start=start,
            count=self.count,
            size=self.size + len(names),
            skip=self.skip,
            features=None if self.features is None else self.features + names,
        )

    @property
    def used(self) -> int:
        """How many numbers of each row are used."""
        return self.size - (self.skip[1] - self.skip[0] if self.skip else 0)

    @property
    def used_features(self) -> Names | None:
        """What they are."""
        if self.features is None or self.skip is None:
            return self.features
        return self.features[: self.skip[0]] + self.features[self.skip[1] :]


class Entities(BaseModel):
    """How each agent's observation is made, and which actions concern which unit.

    Attributes:
        own: The parts about the agent itself and everything else that is in no row.
        own_features: What the numbers in `own` are; None if that is not said.
        teammates: Rows of the agent's teammates, in the team's order, without itself.
        enemies: Rows of its enemies, or of anything else that there are several of.
        attacks: Action `attacks` + j concerns enemy j; None if no action concerns one.
        helps: Action `helps` + k concerns agent k of the team; None if no action concerns one.
        helper: Needed if actions of both kinds have the same numbers: the place in the observation
            of a number that is above 0 if the agent helps, and not if it attacks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    own: tuple[Span, ...]
    own_features: Names | None = None
    teammates: Rows
    enemies: Rows
    attacks: Whole | None = None
    helps: Whole | None = None
    helper: Whole | None = None

    @classmethod
    def read(cls, declared: Any) -> Entities:
        """From a declaration, as this class or a mapping with its fields.

        Raises:
            ValueError: If it is none, with what is wrong.
        """
        if isinstance(declared, cls):
            return declared
        try:
            return cls.model_validate(declared)
        except ValidationError as error:
            few = error.errors(include_url=False, include_input=False)[:3]
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in few)
            raise ValueError(f"entities: {wrong.removeprefix(': ')}") from error

    @property
    def related(self) -> Entities:
        """How observations are made that `Relations` has added to; the same if it adds nothing."""
        told = self.teammates.aims is not None, self.enemies.aims is not None
        mates, others = self.teammates, self.enemies
        if not any((*told, mates.position, others.position)):
            return self
        far = ("distance",)
        aimed, aiming = ("aimed at",) * told[1], ("aimed at",) * told[0] + ("aims here",) * told[1]
        mates = mates.with_columns(0, far * (mates.position is not None) + aimed)
        others = others.with_columns(mates.stop, far * (others.position is not None) + aiming)
        start, size = others.stop, self.own_size + told[1]
        helper = None
        if self.helper is not None:
            own = [place for span in self.own for place in range(*span)]
            helper = start + own.index(self.helper)
        return Entities(
            own=((start, start + size),),
            own_features=None if self.own_features is None else self.own_features + aimed,
            teammates=mates,
            enemies=others,
            attacks=self.attacks,
            helps=self.helps,
            helper=helper,
        )

    @property
    def own_size(self) -> int:
        """How many numbers the own parts have."""
        return sum(stop - start for start, stop in self.own)

    @property
    def observation_size(self) -> int:
        """How many numbers all parts have."""
        rows = (self.teammates, self.enemies)
        return self.own_size + sum(part.stop - part.start for part in rows)

    def plain_actions(self, n_actions: int) -> list[int]:
        """Those of A actions that concern no unit."""
        concerning: set[int] = set()
        if self.attacks is not None:
            concerning |= {*range(self.attacks, self.attacks + self.enemies.count)}
        if self.helps is not None:
            concerning |= {*range(self.helps, self.helps + self.teammates.count + 1)}
        return [action for action in range(n_actions) if action not in concerning]

    def differences(self, other: Entities) -> Iterator[str]:
        """Why a network that reads these observations cannot read the others; none if it can."""
        both = self.related, other.related
        parts = {
            "an agent's own part": [(e.own_size, e.own_features) for e in both],
            **{
                f"a row of {name}": [
                    (rows.used, rows.used_features) for rows in (getattr(e, name) for e in both)
                ]
                for name in ("teammates", "enemies")
            },
        }
        for what, ((size, names), (other_size, other_names)) in parts.items():
            if names and other_names and names != other_names:
                yield f"{what} {_difference(names, other_names)}"
            elif size != other_size:
                yield f"{what} holds {size} numbers there and {other_size} here"
        for name, what in (("attacks", "attack an enemy"), ("helps", "help a teammate")):
            there, here = (getattr(e, name) is not None for e in (self, other))
            if there != here:
                yield f"actions that {what} are only {'there' if there else 'here'}"

    def faults(self, observation_size: int, n_agents: int, n_actions: int) -> Iterator[str]:
        """What does not fit a team's sizes O, N and A."""
        rows = {"teammates": self.teammates, "enemies": self.enemies}
        for name, part in rows.items():
            if part.skip and not part.skip[0] <= part.skip[1] < part.size + 1:
                yield f"{name}.skip is {part.skip}, but a row has {part.size} numbers"
            if part.position and not part.position[0] < part.position[1] <= part.size:
                yield f"{name}.position is {part.position}, but a row has {part.size} numbers"
            if part.aims is not None and (part.used != part.size - 1 or not part.aims[1]):
                yield (
                    f"{name}.aims is {part.aims}: it explains a single number, named by skip, and "
                    "its second number is not 0"
                )
            if part.features is not None and len(part.features) != part.size:
                yield f"{name}.features names {len(part.features)} numbers of {part.size}"
        if self.own_features is not None and len(self.own_features) != self.own_size:
            yield f"own_features names {len(self.own_features)} numbers of {self.own_size}"
        spans = [*self.own, *((part.start, part.stop) for part in rows.values())]
        beyond = [span for span in spans if not span[0] <= span[1] <= observation_size]
        if beyond:
            yield f"{beyond[0]} is not within the observation's {observation_size} numbers"
            return
        covered = np.zeros(observation_size, int)
        for start, stop in spans:
            covered[start:stop] += 1
        for many, what in ((covered == 0, "no part"), (covered > 1, "two parts")):
            if many.any():
                yield (
                    f"own, teammates and enemies must make up the observation's {observation_size} "
                    f"numbers; number {int(many.argmax())} is in {what}"
                )
        for name, first, count in (
            ("attacks", self.attacks, self.enemies.count),
            ("helps", self.helps, n_agents),
        ):
            if first is not None and first + count > n_actions:
                yield f"{name} is {first}: {count} actions from there on are not among {n_actions}"
        if self.teammates.count != n_agents - 1:
            for name, stated in (("helps", self.helps), ("enemies.aims", self.enemies.aims)):
                if stated is not None:
                    yield (
                        f"{name} concerns the team's {n_agents} agents, so teammates needs "
                        f"{n_agents - 1} rows; it has {self.teammates.count}"
                    )
        if self.helps is None:
            return
        if self.helper is not None:
            if not any(start <= self.helper < stop for start, stop in self.own):
                yield f"helper is {self.helper}, which is not in own"
        elif self.attacks is not None:
            one, other = range(self.attacks, self.attacks + self.enemies.count), self.helps
            if one.start < other + n_agents and other < one.stop:
                yield (
                    f"actions {max(one.start, other)} and on both attack and help: helper must say "
                    "which number of the observation decides"
                )


def _difference(there: Names, here: Names) -> str:
    """How two layouts with other names differ."""
    only = [
        (", ".join(map(repr, names[:3])) + ", ..." * (len(names) > 3), where)
        for names, where in (
            ([name for name in there if name not in here], "there"),
            ([name for name in here if name not in there], "here"),
        )
        if names
    ]
    if not only:
        return "holds the same numbers in another order"
    return "holds " + " and ".join(f"{names} only {where}" for names, where in only)
