"""Whole episodes packed into one training batch, without padding.

The layout is that of torch's PackedSequence: episodes sorted longest first, entries time-major,
`batch_sizes[t]` episodes still have an entry at step t. P = sum of batch sizes entries, of which
M = P - B begin a transition. Then the entries *after* the M transitions are simply the last M.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from torch import Tensor

from rllib_qatten import columns
from rllib_qatten.rollout.episode import TeamEpisode


def pack(episodes: list[TeamEpisode], *, pad: bool = False) -> dict[str, np.ndarray]:
    """Packs B episodes.

    Args:
        episodes: At least one.
        pad: Extend every episode to the length of the longest with zeros, which MASK marks. Only
            for reproducing codes whose statistics count padding.

    Returns:
        Columns.OBS [P, N, O], STATE [P, S], LEGAL_ACTIONS [P, N, A], ALIVE [P, N], LAST_ACTIONS
        [P, N] (-1 before the first step), BATCH_SIZES [T+1]; and per transition NOW [M],
        Columns.ACTIONS [M, N], Columns.REWARDS [M], Columns.TERMINATEDS [M], MASK [M], WEIGHTS [M].
    """
    episodes = sorted(episodes, key=len, reverse=True)
    lengths = np.array([len(episode) for episode in episodes])
    spans = np.full(len(lengths), lengths[0]) if pad else lengths
    batch_sizes = (spans[None, :] >= np.arange(lengths[0] + 1)[:, None]).sum(1)
    first = np.cumsum(batch_sizes) - batch_sizes
    now = np.concatenate(
        [np.arange(k) + f for k, f in zip(batch_sizes[1:], first[:-1], strict=True)]
    )

    def packing(steps: np.ndarray, alive: np.ndarray) -> Callable[[list[np.ndarray]], np.ndarray]:
        """Packs arrays of `steps` steps each, `alive[t]` of which have a step t."""
        # Where each packed step is once the episodes are concatenated.
        starts = np.cumsum(steps) - steps
        order = np.concatenate([starts[:k] + t for t, k in enumerate(alive.tolist())])

        def packed(arrays: list[np.ndarray]) -> np.ndarray:
            if pad:
                arrays = [_padded(a, k) for a, k in zip(arrays, steps.tolist(), strict=True)]
            return np.concatenate(arrays)[order]

        return packed

    entries = packing(spans + 1, batch_sizes)
    transitions = packing(spans, batch_sizes[1:])
    actions = [episode.actions.astype(np.int64) for episode in episodes]
    none_yet = np.full_like(actions[0][:1], -1)
    return {
        Columns.OBS: entries([e.observations for e in episodes]),
        columns.STATE: entries([e.state for e in episodes]),
        columns.LEGAL_ACTIONS: entries([e.legal_actions for e in episodes]),
        columns.ALIVE: entries([e.alive for e in episodes]),
        columns.LAST_ACTIONS: entries([np.concatenate([none_yet, a]) for a in actions]),
        columns.BATCH_SIZES: batch_sizes,
        columns.NOW: now,
        Columns.ACTIONS: transitions(actions),
        Columns.REWARDS: transitions([e.rewards for e in episodes]),
        Columns.TERMINATEDS: transitions([_ends(e) for e in episodes]),
        columns.MASK: transitions([np.ones(len(e), bool) for e in episodes]),
        columns.WEIGHTS: transitions([np.full(len(e), e.weight, np.float32) for e in episodes]),
    }


def _padded(array: np.ndarray, length: int) -> np.ndarray:
    """The array, padded with zeros."""
    missing = length - len(array)
    if not missing:
        return array
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])


def _ends(episode: TeamEpisode) -> np.ndarray:
    ends = np.zeros(len(episode), bool)
    ends[-1] = episode.terminated
    return ends


class PackEpisodes(ConnectorV2):
    """Learner connector: episodes in, one packed batch of tensors out.

    Args:
        pad: See `pack`.
    """

    def __init__(self, *args: Any, pad: bool = False, **kwargs: Any) -> None:
        """See class."""
        super().__init__(*args, **kwargs)
        self._pad = pad

    def __call__(
        self, *, rl_module: Any, batch: dict[str, Any], episodes: list[TeamEpisode], **kwargs: Any
    ) -> dict[str, Any]:
        """Packs the episodes for the single module."""
        device = next(rl_module[DEFAULT_MODULE_ID].parameters()).device
        packed = pack(episodes, pad=self._pad)
        return {
            DEFAULT_MODULE_ID: {
                # Python reads the batch sizes, so they stay on the CPU wherever the network is.
                name: _moved(array, torch.device("cpu") if name == columns.BATCH_SIZES else device)
                for name, array in packed.items()
            }
        }


def _moved(array: np.ndarray, device: torch.device) -> Tensor:
    """The array on a device; to a GPU from pinned memory, so that Python need not wait."""
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
