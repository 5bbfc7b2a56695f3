"""The process's own random generators, which envs and models may draw from unasked."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


def get_state() -> dict[str, Any]:
    """State of Python's, NumPy's and torch's (CPU) generators."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002 - of others' code, not ours
        "torch": torch.get_rng_state().numpy(),
    }


def set_state(state: dict[str, Any]) -> None:
    """Continues their draws."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002 - as above
    torch.set_rng_state(torch.from_numpy(state["torch"].copy()))


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """A context after which their draws go on as if it had not been."""
    state = get_state()
    try:
        yield
    finally:
        set_state(state)
