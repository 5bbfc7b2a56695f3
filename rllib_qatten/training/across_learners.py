"""What the learners of one update tell each other."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def from_all_learners(numbers: Tensor) -> Tensor:
    """The numbers of every learner, in the same order everywhere; a learner alone hears itself.

    Every learner must call this as often as the others, or they wait for it.

    Args:
        numbers: Of one shape and type on all learners.

    Returns:
        [L, ...] for L learners, without gradient.
    """
    numbers = numbers.detach()
    if not (distributed.is_available() and distributed.is_initialized()):
        return numbers.unsqueeze(0)
    everyone = [torch.empty_like(numbers) for _ in range(distributed.get_world_size())]
    distributed.all_gather(everyone, numbers)
    return torch.stack(everyone)
