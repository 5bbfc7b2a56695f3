"""Which of this package's requirements are installed, according to its own metadata."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

from packaging.requirements import Requirement

NAME = "rllib-qatten"


def version(distribution: str) -> str | None:
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


def check(extra: str = "") -> Iterator[tuple[str, str, bool]]:
    """Each requirement's name, what was found, and whether that satisfies it.

    Raises:
        importlib.metadata.PackageNotFoundError: As `requirements`.
    """
    for needed in requirements(extra):
        has = version(needed.name)
        if has is None:
            yield needed.name, f"not installed; needs {needed.specifier}", False
        else:
            good = needed.specifier.contains(has, prereleases=True)
            yield needed.name, has if good else f"{has}; needs {needed.specifier}", good
