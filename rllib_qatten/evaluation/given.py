"""What a caller gives a team that acts, as arrays: anything but what no network can take."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from rllib_qatten.errors import BadInput


def observations(values: Any) -> np.ndarray:
    """Observations as float32.

    Raises:
        BadInput: For what is no array of numbers, and for numbers that are not finite.
    """
    array = _numbers(values)
    with np.errstate(over="ignore"):
        array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))[0].tolist()
        raise BadInput(
            f"observations must be finite numbers of float32; at index {where} came "
            f"{array[*where]}, which would stay in that agent's history until its game ends."
        )
    return array


def action_mask(values: Any) -> np.ndarray:
    """An action mask as bool.

    Raises:
        BadInput: For anything but 0 and 1, or False and True.
    """
    array = _numbers(values)
    if array.dtype != bool and (other := array[(array != 0) & (array != 1)]).size:
        raise BadInput(
            f"action_mask must be 1 for legal actions and 0 for all others; got {other[0]}."
        )
    return array.astype(bool, copy=False)


def _numbers(values: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values  # NumPy has no bfloat16
    try:
        array = np.asarray(values)
    except ValueError:  # of different lengths
        array = None
    if array is None or array.dtype.kind not in "biuf":
        raise BadInput(
            f"act takes arrays of numbers, but got {_kind(values)}: the agents' observations in "
            "their order, each flattened as by gymnasium.spaces.flatten(space, observation), and "
            "their masks, all ones where every action is legal; zeros fill up the shorter ones."
        )
    return array


def _kind(values: Any) -> str:
    """In words, what is no array of numbers."""
    if isinstance(values, np.ndarray):
        return f"one of {values.dtype}"
    if isinstance(values, list | tuple) and values:
        kinds = {type(value).__name__ for value in values}
        return f"a {type(values).__name__} of {' and '.join(sorted(kinds))}"
    return "None" if values is None else f"a {type(values).__name__}"
