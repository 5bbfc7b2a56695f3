"""What this machine has: packages that this one names, and memory."""

from __future__ import annotations

import contextlib
import importlib.metadata
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
        if (needed.marker is None or needed.marker.evaluate({"extra": extra}))
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
    return f"{size / 1e9:,.1f} GB"
