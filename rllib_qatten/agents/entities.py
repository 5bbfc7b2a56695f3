"""How an observation is made of units: what an agent that sees them as a set needs to know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Whole = Annotated[int, Field(strict=True, ge=0, le=2**24)]
#: A part of an observation or of a row: where it starts and where it stops.
Span = tuple[Whole, Whole]


class Rows(BaseModel):
    """Rows of an observation, one per unit, one after another.

    A row of zeros is a unit that the agent does not see: it counts for nothing.

    Attributes:
        start: Where the first row starts.
        count: R, how many there are.
        size: F, how many numbers are in each.
        skip: The numbers in each row that name units by their places, such as whom a unit
            attacked. A set has no places, so they are left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Whole
    count: Whole
    size: Annotated[Whole, Field(ge=1)]
    skip: Span | None = None

    @property
    def stop(self) -> int:
        """Where the last row stops."""
        return self.start + self.count * self.size

    @property
    def used(self) -> int:
        """How many numbers of each row are used."""
        return self.size - (self.skip[1] - self.skip[0] if self.skip else 0)


class Entities(BaseModel):
    """How each agent's observation is made, and which actions concern which unit.

    Attributes:
        own: The parts about the agent itself and everything else that is in no row.
        teammates: Rows of the agent's teammates, in the team's order, without itself.
        enemies: Rows of its enemies, or of anything else that there are several of.
        attacks: Action `attacks` + j concerns enemy j; None if no action concerns one.
        helps: Action `helps` + k concerns agent k of the team; None if no action concerns one.
        helper: Needed if actions of both kinds have the same numbers: the place in the observation
            of a number that is above 0 if the agent helps, and not if it attacks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    own: tuple[Span, ...]
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
    def own_size(self) -> int:
        """How many numbers the own parts have."""
        return sum(stop - start for start, stop in self.own)

    @property
    def observation_size(self) -> int:
        """How many numbers all parts have."""
        rows = (self.teammates, self.enemies)
        return self.own_size + sum(part.stop - part.start for part in rows)

    def faults(self, observation_size: int, n_agents: int, n_actions: int) -> Iterator[str]:
        """What does not fit a team's sizes O, N and A."""
        rows = {"teammates": self.teammates, "enemies": self.enemies}
        for name, part in rows.items():
            if part.skip and not part.skip[0] <= part.skip[1] < part.size + 1:
                yield f"{name}.skip is {part.skip}, but a row has {part.size} numbers"
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
        if self.helps is None:
            return
        if self.teammates.count != n_agents - 1:
            yield (
                f"helps concerns the team's {n_agents} agents, so teammates needs {n_agents - 1} "
                f"rows; it has {self.teammates.count}"
            )
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
