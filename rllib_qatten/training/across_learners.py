"""What the learners of one update exchange."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def from_all_learners(numbers: Tensor) -> Tensor:
    """The numbers of every learner, in the same order everywhere; a single learner gets its own.

    All learners must call this equally often, or they wait for each other.

    Args:
        numbers: Of the same shape and type on all learners.

    Returns:
        [L, ...] for L learners, without gradient.
    """
    numbers = numbers.detach()
    if not (distributed.is_available() and distributed.is_initialized()):
        return numbers.unsqueeze(0)
    everyone = [torch.empty_like(numbers) for _ in range(distributed.get_world_size())]
    distributed.all_gather(everyone, numbers)
    return torch.stack(everyone)
