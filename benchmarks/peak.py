"""The fastest that this machine multiplies large matrices, by each library that torch has."""

from __future__ import annotations

import torch

from benchmarks.turns import Work


def products(width: int) -> dict[str, Work]:
    """Square float32 products by library; a unit of work is one floating-point operation.

    `torch.mm` alone would flatter: it calls MKL, which leaves AVX-512 unused on AMD processors,
    where oneDNN reaches twice as much.
    """
    a, b = torch.randn(width, width), torch.randn(width, width)
    out = torch.empty(width, width)
    work = 2.0 * width**3

    def mm() -> float:
        torch.mm(a, b, out=out)
        return work

    def onednn() -> float:
        torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
        return work

    return {"torch.mm": mm} | ({"oneDNN": onednn} if torch.backends.mkldnn.is_available() else {})
