"""Which library multiplies matrices faster on this processor: oneDNN, or torch's own choice.

torch sends its products to MKL, which leaves AVX-512 unused on AMD processors. On Zen 5 that halves
their speed, and oneDNN, which ships with torch, is worth its higher cost per call; Zen 4 does an
AVX-512 instruction in two halves, and there oneDNN only costs. So it is measured, once per
processor and release of torch, and kept in the user's cache folder: all processes of a machine, and
a run and its continuation, must multiply alike, or they would differ in their last bits.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from rllib_qatten.errors import one_of
from rllib_qatten.files import cache_folder
from rllib_qatten.hardware.machine import processor
from rllib_qatten.hardware.threads import torch_threads

#: Environment variable that overrides the measurement: "onednn" or "torch".
VARIABLE = "RLLIB_QATTEN_PRODUCTS"
#: Rows of the products that are timed, of a GRU's size: [rows, 64] times [64, 192].
ROWS = (32, 64, 96, 128, 192, 256)
#: How much faster oneDNN must be, lest noise decides.
CLEARLY = 1.05
#: From how many rows on oneDNN is taken if the user asks for it.
ASKED_FOR = 80

ONEDNN: Any = None
if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
    ONEDNN = torch.ops.mkldnn._linear_pointwise.default


class Choice(NamedTuple):
    """What multiplies on this machine.

    Attributes:
        onednn_from: The fewest rows for which oneDNN is taken; None if it never is.
        reason: Why, for a user.
    """

    onednn_from: int | None
    reason: str


@functools.cache
def choice() -> Choice:
    """This machine's choice; measures if nobody has before.

    Raises:
        ValueError: If the environment variable is set to anything but a library's name.
    """
    asked = os.environ.get(VARIABLE)
    if asked:
        one_of(asked, ("onednn", "torch"), VARIABLE)
    if ONEDNN is None:
        return Choice(None, "this torch has no oneDNN")
    if asked:
        return Choice(ASKED_FOR if asked == "onednn" else None, f"{VARIABLE}={asked}")
    about = f"{processor()}, torch {torch.__version__}"
    name = hashlib.sha256(about.encode()).hexdigest()[:16]
    file = cache_folder() / "products" / f"{name}.json"
    try:
        if not file.exists():
            _write_first(file, {"measured_on": about, "microseconds": measure()})
        kept = json.loads(file.read_text())
        return judge(kept["microseconds"], kept["measured_on"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        # Unmeasured, since the next process might measure otherwise.
        return Choice(None, f"{file} cannot be kept or read: {error}")


def judge(microseconds: dict[str, list[float]], measured_on: str) -> Choice:
    """What times mean: oneDNN from that number of rows on from which it always wins.

    Args:
        microseconds: Rows -> time of oneDNN and of torch's own product.
        measured_on: Processor and torch.
    """
    best = None
    for rows in sorted(map(int, microseconds), reverse=True):
        onednn, own = microseconds[str(rows)]
        if own < CLEARLY * onednn:
            break
        best = rows
    most = str(max(map(int, microseconds)))
    onednn, own = microseconds[most]
    times = f"{most} rows take oneDNN {onednn:.0f} and torch's own product {own:.0f} microseconds"
    return Choice(best, f"measured on {measured_on}: {times}")


def measure() -> dict[str, list[float]]:
    """Microseconds of oneDNN and of torch's own product by rows; takes some hundredths of a second.

    Each is the shortest of many, by turns, on one thread as in a learner.
    """
    with torch_threads():
        weight, bias = torch.ones(192, 64), torch.ones(192)
        times = {}
        with torch.no_grad():
            for rows in ROWS:
                x = torch.ones(rows, 64)
                turns = [(_once(onednn, x, weight, bias), _once(F.linear, x, weight, bias))
                         for _ in range(60)]  # fmt: skip
                times[str(rows)] = [round(min(column), 2) for column in zip(*turns, strict=True)]
    return times


def onednn(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """OneDNN's product, x [R, I] times weight [O, I] transposed, plus bias [O]."""
    result: torch.Tensor = ONEDNN(x, weight, bias, "none", [], "")
    return result


def _once(product: Any, *arguments: torch.Tensor) -> float:
    started = time.perf_counter()
    product(*arguments)
    return 1e6 * (time.perf_counter() - started)


def _write_first(file: Path, content: dict[str, Any]) -> None:
    """Writes the file unless another process was faster: then theirs stands."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent)
    try:
        with os.fdopen(handle, "w") as opened:
            json.dump(content, opened)
        try:
            os.link(temporary, file)
        except FileExistsError:
            pass
    finally:
        os.unlink(temporary)
