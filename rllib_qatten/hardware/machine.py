"""What this machine has: packages that this one names, its processor, and memory."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
from packaging.requirements import Requirement

NAME = "rllib-qatten"


def installed_version(distribution: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def requirements(extra: str = "") -> list[Requirement]:
    """What the package needs on this machine; with an extra, what that extra adds.

    Raises:
        importlib.metadata.PackageNotFoundError: If the package itself was not installed by pip.
    """
    named = map(Requirement, importlib.metadata.requires(NAME) or ())
    return [
        needed
        for needed in named
        if needed.name != NAME  # an extra that brings another one
        and (needed.marker is None or needed.marker.evaluate({"extra": extra}))
        and (not extra or "extra" in str(needed.marker))
    ]


def check_requirements(extra: str = "") -> Iterator[tuple[str, str, bool]]:
    """Each requirement's name, what was found, and whether that satisfies it.

    Raises:
        importlib.metadata.PackageNotFoundError: As `requirements`.
    """
    for needed in requirements(extra):
        has = installed_version(needed.name)
        if has is None:
            yield needed.name, f"not installed; needs {needed.specifier}", False
        else:
            good = needed.specifier.contains(has, prereleases=True)
            yield needed.name, has if good else f"{has}; needs {needed.specifier}", good


def cpus() -> int:
    """How many CPUs this process may use."""
    # Not every system has a limit per process.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def freest_core(place: int) -> int:
    """The core to which the fewest workers of Ray are bound; among equals, the one at this place.

    Env runners of other trials and of evaluations count from one, too.
    """
    cores = sorted(os.sched_getaffinity(0))
    bound: Counter[int] = Counter()
    for process in psutil.process_iter(["name", "cpu_affinity"]):
        where = process.info["cpu_affinity"]  # None where it may not be read
        if str(process.info["name"]).startswith("ray::") and where and len(where) == 1:
            bound[where[0]] += 1
    first = place % len(cores)
    return min(cores[first:] + cores[:first], key=bound.__getitem__)


def processor() -> str:
    """The CPU's model. One name may stand for several generations, so its family is added.

    For instance "AMD EPYC (family 25, model 17, AVX-512)".
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text().split("\n\n")[0].splitlines() if info.exists() else []
    facts = {name.strip(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    name = facts.get("model name") or platform.processor() or platform.machine() or "unknown CPU"
    about = [f"{of.split()[-1]} {facts[of]}" for of in ("cpu family", "model") if of in facts]
    flags = facts.get("flags", "").split()
    vectors = {"avx512f": "AVX-512", "avx2": "AVX2"}  # a virtual machine may hide them
    about += [text for flag, text in vectors.items() if flag in flags][:1]
    return f"{name} ({', '.join(about)})" if about else name


#: Where Linux reports a container's limit and usage: cgroups version 2, then version 1.
_CONTROL_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available_memory() -> int:
    """Bytes that programs can still allocate without swapping."""
    free = psutil.virtual_memory().available
    for limit, used in _CONTROL_GROUPS:
        # "max" means no limit; a missing file means no container.
        with contextlib.suppress(OSError, ValueError):
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
    return max(0, free)


def gigabytes(size: float) -> str:
    """A size as messages print it."""
    return f"{size / 1e9:,.1f} GB" if size >= 0.05e9 else f"{size / 1e6:,.1f} MB"
