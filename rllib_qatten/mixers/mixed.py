"""What mixing gives, and its check: a wrong shape would be broadcast, and learned from, in silence.

Letters: N agents, H heads, M rows; `*B` stands for any leading axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

#: Axes of a result's parts for M rows; H is any number.
AXES = {
    "q_tot": "M",
    "regularizer": "",
    "attention": "MHN",
    "logits": "MHN",
    "head_values": "MH",
    "head_weights": "MH",
    "state_value": "M",
    "agent_weights": "MN",
}


@dataclass(frozen=True, slots=True)
class Mixed:
    """A mixer's result for one batch.

    All but `q_tot` and `regularizer` are for analysis: views, still part of the autograd graph.
    """

    q_tot: Tensor
    """[*B] value of the joint action."""
    regularizer: Tensor = field(default_factory=lambda: torch.zeros(()))
    """Scalar to add to the loss, already multiplied by its coefficient."""
    attention: Tensor | None = None
    """[*B, H, N] weights that sum to 1 over agents."""
    logits: Tensor | None = None
    """[*B, H, N] query-key products before scaling and masking."""
    head_values: Tensor | None = None
    """[*B, H] utilities averaged by each head's attention."""
    head_weights: Tensor | None = None
    """[*B, H] non-negative weights of the heads; None if the heads are simply added."""
    state_value: Tensor | None = None
    """[*B] the part of Q_tot that depends on the state alone."""
    agent_weights: Tensor | None = None
    """[*B, N] non-negative weights of the utilities (QLinear) or of the advantages (QPLEX)."""

    def unflatten(self, batch: Sequence[int]) -> "Mixed":
        """The same with its single axis of rows split into the axes `batch`."""
        parts: dict[str, Any] = {part.name: getattr(self, part.name) for part in fields(self)}
        for name, rows in parts.items():
            if rows is not None and name != "regularizer":
                parts[name] = rows.view((*batch, *rows.shape[1:]))
        return Mixed(**parts)


def check_mixed(owner: str, mixed: Any, utilities: Tensor) -> None:
    """Raise a readable ValueError unless this can be what a mixer made of some utilities.

    Only shapes and the recorded graph are looked at: no number is read.

    Args:
        owner: The mixer's name.
        mixed: What its `mix` returned.
        utilities: [M, N] what was mixed; while gradients are recorded, q_tot must depend on it.
    """
    if not isinstance(mixed, Mixed):
        raise ValueError(
            f"{owner}.mix returned a {type(mixed).__name__}, expected a Mixed: return Mixed(q_tot)"
        )
    known = dict(zip("MN", utilities.shape, strict=True))
    for name, axes in AXES.items():
        if (part := getattr(mixed, name)) is not None or name in ("q_tot", "regularizer"):
            expected = [known.get(axis, axis) for axis in axes]
            if not (isinstance(part, Tensor) and _fits(part.shape, expected)):
                raise ValueError(_misfit(owner, name, part, expected))
    recorded = torch.is_grad_enabled() and not torch.compiler.is_compiling()
    if recorded and utilities.requires_grad and not _depends(mixed.q_tot, utilities):
        raise ValueError(
            f"{owner}.mix returned a q_tot that does not depend on the utilities, so no agent "
            "would learn: compute it from rows.utilities with torch alone, without detach(), "
            "no_grad() or numpy"
        )


def _fits(shape: Sequence[int], expected: list[Any]) -> bool:
    return len(shape) == len(expected) and all(
        size == "H" or size == got for got, size in zip(shape, expected, strict=True)
    )


def _misfit(owner: str, name: str, part: Any, expected: list[Any]) -> str:
    got = list(part.shape) if isinstance(part, Tensor) else f"of type {type(part).__name__}"
    letters, sizes = (f"[{', '.join(map(str, axes))}]" for axes in (AXES[name], expected))
    hint = {
        "q_tot": "one value a row, so reduce the agents' axis, for instance by .sum(-1), and "
        "remove a layer's last axis of length 1 by .squeeze(-1) before adding",
        "regularizer": "a scalar tensor",
    }.get(name, f"or leave {name} out")
    shape = f"{letters} = {sizes}" if expected else sizes
    return f"{owner}.mix returned {name} {got}, expected {shape}: {hint}"


def _depends(result: Tensor, source: Tensor) -> bool:
    """Whether a gradient of `result` reaches `source`."""
    wanted = get_gradient_edge(source).node
    seen, ahead = set(), [result.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is wanted:
            return True
        if node is not None and node not in seen:
            seen.add(node)
            ahead += [before for before, _ in node.next_functions]
    return False
