"""Matrix products of many rows, and a linear layer built on them, at the processor's full speed.

On some processors oneDNN multiplies faster than torch's own product does; `product_choice` says
whether, and from how many rows. `torch.compile` reaches it through the same operator that is called
here. oneDNN compiles a kernel for every new shape, in about the time of one product, and batches of
whole episodes keep bringing new row counts. So rows are processed in spans of a few fixed lengths;
the remainder, and anything that is not float32 on a CPU, goes to torch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rllib_qatten.hardware import product_choice

#: Rows of a span: multiples of the first up to the second; longer spans no longer fit the cache.
FEWEST, MOST = 256, 2048


def by_rows(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, few_lengths: bool = False
) -> Tensor:
    """What `F.linear` computes, x @ weight.T + bias, without a gradient.

    Args:
        x: [M, K].
        weight: [J, K].
        bias: [J], or None.
        few_lengths: M takes only a few values over a run, so that no spans are needed.

    Returns:
        [M, J].
    """
    if not _suits(x, len(x)):
        return F.linear(x, weight, bias)
    if few_lengths:
        return product_choice.onednn(x, weight, bias)
    *spans, rest = x.split_with_sizes(_spans(len(x)))
    parts = [product_choice.onednn(span, weight, bias) for span in spans]
    if len(rest) or not parts:
        parts.append(F.linear(rest, weight, bias))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def over_rows(a: Tensor, b: Tensor) -> Tensor:
    """a.T @ b, summed over their M rows, without a gradient.

    Args:
        a: [M, J].
        b: [M, K].

    Returns:
        [J, K].
    """
    if not _suits(a, FEWEST):
        return a.T @ b
    if a.shape[1] > b.shape[1]:  # the left side is copied to transpose it: take the narrower one
        return over_rows(b, a).T
    lengths = _spans(len(a))
    *pairs, (a, b) = zip(a.split_with_sizes(lengths), b.split_with_sizes(lengths), strict=True)
    total = a.T @ b
    for x, y in pairs:
        total += product_choice.onednn(x.T, y.T, None)
    return total


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` with its gradient: x [..., K], weight [J, K], bias [J] or None -> [..., J]."""
    rows = x.numel() // max(x.shape[-1], 1)
    if torch.compiler.is_compiling() or rows < FEWEST:
        return F.linear(x, weight, bias)
    if not _suits(x, rows) or not _suits(weight, rows):
        return F.linear(x, weight, bias)
    result: Tensor = _Linear.apply(x.reshape(rows, -1), weight, bias)
    return result.view(*x.shape[:-1], -1)


class Linear(nn.Linear):
    """torch's layer with the same parameters, computed by `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., K] -> [..., J]."""
        return linear(input, self.weight, self.bias)


class _Linear(torch.autograd.Function):
    """`linear` for rows [M, K]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return by_rows(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        bias = grad.sum(0) if to_bias else None
        if torch.is_grad_enabled():  # a second derivative is asked for
            return grad @ weight if to_x else None, grad.T @ x if to_weight else None, bias
        return (
            by_rows(grad, weight.T) if to_x else None,
            over_rows(grad, x) if to_weight else None,
            bias,
        )


def _suits(x: Tensor, rows: int) -> bool:
    """Whether oneDNN's product supports this tensor and is faster for so many rows."""
    usual = x.dtype == torch.float32 and x.device.type == "cpu"
    if not usual or torch.is_autocast_enabled("cpu"):
        return False
    fewest = product_choice.choice().onednn_from
    return fewest is not None and rows >= fewest


def _spans(rows: int) -> list[int]:
    """Lengths that add up to `rows`; the last, below `FEWEST` and possibly 0, goes to torch."""
    spans = [MOST] * (rows // MOST)
    rest = rows % MOST
    if rest >= FEWEST:
        spans.append(rest - rest % FEWEST)
    return [*spans, rest % FEWEST]
