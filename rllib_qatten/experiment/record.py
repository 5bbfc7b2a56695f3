"""What a paper says about a run: when, of which commit, with what versions, on which machine."""

from __future__ import annotations

import contextlib
import datetime
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil
import torch

from rllib_qatten.hardware.machine import gigabytes, installed_version, processor
from rllib_qatten.version import __version__

#: Packages that can change a run's numbers.
PACKAGES = ("ray", "torch", "numpy", "gymnasium", "pettingzoo", "jaxmarl", "jax", "pysc2")
#: Seconds after which git is not waited for.
PATIENCE = 5


def record(command: str) -> dict[str, Any]:
    """The record of a run that starts now, as JSON values.

    Args:
        command: The shell command line that started it.
    """
    installed = {name: installed_version(name) for name in PACKAGES}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(Path.cwd()),
        "versions": {"rllib_qatten": __version__, "python": platform.python_version()}
        | {name: version for name, version in installed.items() if version},
        "machine": machine(),
        "command": command,
    }


def commit(folder: Path) -> str | None:
    """The commit checked out in a folder, and whether files were changed; None if not in git."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        head = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
        return f"{head} with changes" if changed else head
    return None


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    return done.stdout.strip()


def machine() -> dict[str, str]:
    """Processor, memory, GPUs and operating system; no name of the machine or its user."""
    found = {
        "processor": f"{processor()}, {psutil.cpu_count()} logical cores",
        "memory": gigabytes(psutil.virtual_memory().total),
    }
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        found["gpus"] = ", ".join(names)
    return found | {"system": platform.platform()}
