"""The ratios that were reached once on this processor: a slower change falls below them.

Only ratios to references of this repository and to RLlib's own runner are kept: both sides run
here, in the same rounds. Seconds and absolute speeds are never compared. Libraries differ from one
processor to the next, and ratios with them: each has its own.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import report
from benchmarks.turns import Row

FILE = Path(__file__).with_name("baseline.json")
STOCK = "RLlib MultiAgentEnvRunner"
#: What the stored ratios compare with.
REFERENCES = "full textbook", "ragged textbook", STOCK
#: A ratio may fall short by this share: runs on a busy machine differ by 10 %.
TOLERANCE = 0.15


def _ratios(rows: list[Row]) -> dict[str, float]:
    return {
        f"{row.part}: {row.name}, over {row.against}": row.ratio.median
        for row in rows
        if row.ratio is not None and row.against in REFERENCES
    }


def write(rows: list[Row], file: Path = FILE) -> None:
    """Stores the ratios of these rows; others, and those of other processors, stay."""
    stored = json.loads(file.read_text()) if file.exists() else {}
    ratios = stored.setdefault(report.processor(), {})
    ratios |= {name: round(ratio, 3) for name, ratio in _ratios(rows).items()}
    file.write_text(json.dumps(stored, indent=1) + "\n")


def check(rows: list[Row], file: Path = FILE) -> list[str]:
    """What to complain of: each measured ratio that fell below its stored one by `TOLERANCE`.

    Rows that were not stored, or not measured now, are not compared; that none is is a complaint.
    """
    stored = json.loads(file.read_text()) if file.exists() else {}
    here = report.processor()
    if here not in stored:
        others = f" (it has {', '.join(stored)})" if stored else ""
        return [f"{file} has no baseline of {here}{others}: write one with --write-baseline."]
    kept, found = stored[here], _ratios(rows)
    common = [name for name in found if name in kept]
    if not common:
        return ["None of the measured rows is in the baseline: measure update or sampler."]
    return [
        f"Slower than the baseline: {name} is {found[name]:.2f}, was {kept[name]:.2f}."
        for name in common
        if found[name] < (1 - TOLERANCE) * kept[name]
    ]
