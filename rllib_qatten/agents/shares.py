"""A batch's games shared out to threads, each of which passes its own through the agent and back.

Letters as in `Agent`; M agents in all entries.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rllib_qatten.hardware.threads import in_threads, threads_for


class Share(NamedTuple):
    """The games of one thread.

    Attributes:
        rows: Which of the M rows are theirs, step by step.
        steps: How many of these each step has, never increasing.
    """

    rows: Any
    steps: Any


def shares(batch_sizes: Sequence[int], n_agents: int) -> list[Share]:
    """A batch's games in turn, longest first: about as many rows for each thread.

    Args:
        batch_sizes: [T] games per step, never increasing.
        n_agents: N.
    """
    sizes = np.asarray(batch_sizes, np.int64)
    m = int(sizes.sum()) * n_agents
    number = min(threads_for(m), int(sizes[0]))
    if number == 1:
        return [Share(np.arange(m), sizes * n_agents)]
    game = np.arange(m) // n_agents - (sizes.cumsum() - sizes).repeat(sizes * n_agents)
    steps = [-(-(sizes - k) // number) * n_agents for k in range(number)]
    return [Share(np.flatnonzero(game % number == k), s[s > 0]) for k, s in enumerate(steps)]


def key_of(given: Sequence[Share]) -> Hashable:
    """What tells the shares `given` from those of another batch or number of threads."""
    return tuple(tuple(share.steps) for share in given)


def joined(unrollings: Sequence[Any], given: Sequence[Share]) -> Any:
    """The unrollings of the shares `given` as one."""
    return unrollings[0] if len(unrollings) == 1 else SharedUnrolling(unrollings, given)


class SharedUnrolling:
    """Passes of all shares through an agent and back, as one; see `differentiable`."""

    def __init__(self, unrollings: Sequence[Any], given: Sequence[Share]) -> None:
        """Of the shares `given`, an unrolling each."""
        self._unrollings, self._rows = unrollings, [share.rows for share in given]

    def forward(self, parameters: Sequence[Tensor], keep: bool) -> Tensor:
        """The result of all M rows."""
        each = in_threads(lambda one: one.forward(parameters, keep), self._unrollings)
        whole = torch.empty(sum(map(len, each)), each[0].shape[1])
        for rows, result in zip(self._rows, each, strict=True):
            whole.numpy()[rows] = result.numpy()
        return whole

    def backward(self, grad: Tensor, parameters: Sequence[Tensor]) -> tuple[list[Tensor], None]:
        """Gradients of the parameters."""

        def of_share(one: Any, rows: Any) -> Any:
            return one.backward(torch.from_numpy(grad.numpy()[rows]), parameters)[0]

        each = in_threads(of_share, self._unrollings, self._rows)
        return [sum(grads[1:], grads[0]) for grads in zip(*each, strict=True)], None
