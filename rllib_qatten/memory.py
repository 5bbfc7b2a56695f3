"""How much memory is left on this machine, or in this container."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

#: Where Linux reports a container's limit and usage: cgroups version 2, then version 1.
CONTROL_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available() -> int:
    """Bytes that programs can still allocate without swapping."""
    free = psutil.virtual_memory().available
    for limit, used in CONTROL_GROUPS:
        # "max" means no limit; a missing file means no container.
        with contextlib.suppress(OSError, ValueError):
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
    return max(0, free)


def gigabytes(size: float) -> str:
    """A size as messages print it."""
    return f"{size / 1e9:,.1f} GB"
