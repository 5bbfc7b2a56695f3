"""What can be measured."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.effort import Effort
from benchmarks.turns import Row


class Part(enum.StrEnum):
    """What can be measured."""

    SAMPLER = "sampler"
    UPDATE = "update"
    ENTITY = "entity"
    GPU = "gpu"
    TRAIN = "train"
    JAXMARL = "jaxmarl"
    GROWTH = "growth"
    PROFILE = "profile"
    MEMORY = "memory"
    SAVE = "save"


@dataclass(frozen=True)
class Peers:
    """Peers that are no packages.

    Attributes:
        jaxmarl: A checkout of JaxMARL, if there is one.
        jaxmarl_python: The Python that runs it.
    """

    jaxmarl: Path | None
    jaxmarl_python: Path


@dataclass(frozen=True)
class Task:
    """A piece of one part that may fail alone."""

    part: Part
    name: str
    run: Callable[[], list[Row]]


def tasks(parts: list[Part], sizes: list[str], effort: Effort, peers: Peers) -> list[Task]:
    """What the chosen parts consist of, in the order of `Part`."""
    # Here, so that `--help` answers at once.
    from benchmarks import (
        end_to_end,
        entity,
        gpu,
        growth,
        jaxmarl_peer,
        memory,
        profile,
        sampler,
        save,
        update,
    )
    from benchmarks.teams import SIZES

    times = effort.rounds, effort.seconds
    middle = SIZES["tiny" if effort.tiny else "3s5z"]
    found: list[Task] = []

    def add(part: Part, name: str, run: Callable[[], list[Row]]) -> None:
        if part in parts:
            found.append(Task(part, name, run))

    for name in sizes:
        add(Part.SAMPLER, name, partial(sampler.run, name, SIZES[name], *times))
    for name in sizes:
        add(Part.UPDATE, name, partial(update.run, name, SIZES[name], *times))
    for battle in entity.BATTLES:
        add(Part.ENTITY, battle, partial(entity.run, battle, *times))
    for name in sizes:
        add(Part.GPU, name, partial(gpu.run, name, SIZES[name], *times))
    for battle in entity.BATTLES:
        add(Part.GPU, f"{battle}, entity agent", partial(gpu.run_entity, battle, *times))
    for name in sizes:
        add(Part.TRAIN, name, partial(end_to_end.run, name, effort.tiny, effort.quick))
    for map_name in jaxmarl_peer.MAPS:
        run = partial(jaxmarl_peer.run, map_name, peers.jaxmarl, peers.jaxmarl_python, effort.quick)
        add(Part.JAXMARL, map_name, run)
    for name, run in growth.tasks(middle, effort):
        add(Part.GROWTH, name, run)
    add(Part.PROFILE, "update", partial(profile.update, middle, *times))
    add(Part.PROFILE, "iteration", partial(profile.iteration, effort.tiny))
    for name in memory.cases(effort):
        add(Part.MEMORY, name, partial(memory.run, name, effort))
    add(Part.SAVE, "replay", partial(save.run, middle, effort.tiny))
    return found
