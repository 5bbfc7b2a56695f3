"""Which utilities are mixed: those of the actions taken, and those of greedy ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rllib_qatten.compiled.compiler import kernels
from rllib_qatten.rollout.exploration import ILLEGAL


def greedy_actions(utilities: Tensor, legal: Tensor) -> Tensor:
    """[R, N] the best legal action of each agent, from [R, N, A] utilities and legal actions."""
    if not _suits(utilities) or legal.device.type != "cpu":
        return utilities.add((~legal).to(utilities.dtype), alpha=float(ILLEGAL)).argmax(-1)
    actions = torch.empty(utilities.shape[:-1], dtype=torch.int64)
    given = utilities.detach().contiguous(), legal.contiguous()
    kernels("selection").greedy(*(t.numpy() for t in given), actions.numpy())
    return actions


def utilities_of(utilities: Tensor, rows: Tensor | slice, actions: Tensor) -> Tensor:
    """[R, N] utilities of R entries' actions [R, N], from utilities [P, N, A]."""
    if isinstance(rows, slice):
        return utilities[rows].gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    if _suits(utilities) and rows.device.type == "cpu":
        taken: Tensor = _Taken.apply(utilities, rows, actions)
        return taken
    # One flat look-up: indexing rows first would copy, and scatter back, all A utilities.
    n, a = utilities.shape[1:]
    agents = rows.unsqueeze(-1) * n + torch.arange(n, device=rows.device)
    places = agents * a + actions
    return utilities.flatten().gather(0, places.flatten()).view_as(places)


def _suits(utilities: Tensor) -> bool:
    """Whether the compiled functions can take these: float32 on a CPU."""
    if utilities.dtype != torch.float32 or utilities.device.type != "cpu":
        return False
    return not torch.compiler.is_compiling() and kernels("selection") is not None


class _Taken(torch.autograd.Function):
    """`utilities_of` some entries. It is linear, so the gradient of its gradient is itself."""

    @staticmethod
    def forward(ctx: Any, utilities: Tensor, entries: Tensor, actions: Tensor) -> Tensor:
        ctx.shape = utilities.shape
        ctx.places = entries, actions
        places = _places(entries, actions)
        taken = utilities.new_empty(actions.shape)
        kernels("selection").take(utilities.detach().contiguous().numpy(), *places, taken.numpy())
        return taken

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        whole: Tensor = _Put.apply(grad, *ctx.places, ctx.shape)
        return whole, None, None


class _Put(torch.autograd.Function):
    """[R, N] numbers at their places in zeros [P, N, A]."""

    @staticmethod
    def forward(
        ctx: Any, taken: Tensor, entries: Tensor, actions: Tensor, shape: torch.Size
    ) -> Tensor:
        ctx.places = entries, actions
        whole = taken.new_zeros(shape)
        places = _places(entries, actions)
        kernels("selection").put(taken.detach().contiguous().numpy(), *places, whole.numpy())
        return whole

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        taken: Tensor = _Taken.apply(grad, *ctx.places)
        return taken, None, None, None


def _places(entries: Tensor, actions: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return entries.contiguous().numpy(), actions.contiguous().numpy()
