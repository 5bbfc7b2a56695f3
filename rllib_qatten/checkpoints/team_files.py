"""A team's networks in a folder: weights as safetensors, everything else as JSON.

Every checkpoint holds this folder. It is all that acting needs and, with the mixer's weights, all
that analysis needs. Reading it runs no code, unlike RLlib's own files next to it, which are
pickled. Files may come from anybody: what does not fit is refused with a message.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load, save
from torch import Tensor

from rllib_qatten.agents.acting import ActingNetwork
from rllib_qatten.agents.inputs import InputLayout
from rllib_qatten.agents.registry import make_agent, sharing_groups
from rllib_qatten.checkpoints import location
from rllib_qatten.checkpoints.location import MARK as METADATA
from rllib_qatten.checkpoints.location import TEAM as FOLDER
from rllib_qatten.checkpoints.policy_file import faults
from rllib_qatten.errors import BadInput
from rllib_qatten.files import parse_json, read_bounded

#: Its files besides METADATA.
WEIGHTS, MIXER_WEIGHTS = "policy.safetensors", "mixer.safetensors"
__all__ = [
    "FOLDER",
    "METADATA",
    "MIXER_WEIGHTS",
    "WEIGHTS",
    "StoredMixer",
    "files",
    "read",
    "read_mixer",
]
#: Increased when today's reader could not read what is written.
FORMAT = 1
#: At most this many bytes of each are read. The benchmarks' largest team has 1.5 MB of weights.
WEIGHTS_LIMIT, METADATA_LIMIT = 2**30, 2**22


class StoredMixer(NamedTuple):
    """A trained mixer without its class, which is the algorithm's.

    Attributes:
        weights: Its state.
        about: `options` of the mixer's signature, `state_size` S, and `unit_features`, their place
            in the state as [start, stop], or None.
    """

    weights: dict[str, Tensor]
    about: dict[str, Any]


def files(
    weights: dict[str, Tensor],
    layout: InputLayout,
    settings: dict[str, Any],
    about: dict[str, Any],
    mixer: StoredMixer | None = None,
) -> dict[str, bytes]:
    """The folder's files by name.

    Args:
        weights: State of the agent network.
        layout: Its input layout.
        settings: Its settings.
        about: Everything else about the policy, as JSON values.
        mixer: The mixer, if there is one; acting does not need it.

    Raises:
        BadInput: If `read` would refuse them.
    """
    stored = {WEIGHTS: _packed(weights)}
    metadata = {
        "format": FORMAT,
        **about,
        "inputs": dataclasses.asdict(layout),
        "agent": settings,
    }
    if mixer:
        stored[MIXER_WEIGHTS] = _packed(mixer.weights)
        metadata["mixer"] = {**mixer.about, "sha256": _sum(stored[MIXER_WEIGHTS])}
    metadata["sha256"] = _digest(stored[WEIGHTS], metadata)
    written = json.dumps(metadata, indent=2).encode()
    wrong = faults(parse_json(written))
    if len(written) > METADATA_LIMIT:
        wrong = f"it takes {len(written):,} bytes, and {METADATA_LIMIT:,} are read"
    if wrong:
        raise BadInput(f"The team's {METADATA} could not be read again: {wrong}.")
    return {**stored, METADATA: written}


def read(checkpoint: Any) -> tuple[ActingNetwork, dict[str, Any]]:
    """Reads a checkpoint's agent network and metadata.

    Args:
        checkpoint: See `location.find`.

    Raises:
        BadInput: If it is not a checkpoint, was altered or cut short, or its team cannot act.
    """
    folder = location.find(checkpoint)
    stored, metadata = _read_files(folder)
    try:
        network = _network(metadata, load(stored))
    except Exception as error:  # made-up weights may make torch raise anything
        raise BadInput(f"{folder}: {WEIGHTS} and {METADATA} make no team: {error}.") from error
    return network.eval().requires_grad_(False), metadata


def read_mixer(checkpoint: Any) -> StoredMixer | None:
    """Reads a checkpoint's mixer; None if there is none.

    Raises:
        BadInput: As `read`.
    """
    folder = location.find(checkpoint)
    about = _read_files(folder)[1].get("mixer")
    if about is None:
        return None
    try:
        stored = read_bounded(folder / MIXER_WEIGHTS, WEIGHTS_LIMIT)
        if _sum(stored) != about.pop("sha256"):
            raise ValueError("its checksum differs")
        weights = load(stored)
        _assert_finite(weights)
    except Exception as error:  # as in `read`
        raise BadInput(f"{folder}: {MIXER_WEIGHTS} was cut short or altered: {error}.") from error
    return StoredMixer(weights, about)


def _read_files(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """The weights' bytes, and the metadata after validation."""
    try:
        stored = read_bounded(folder / WEIGHTS, WEIGHTS_LIMIT)
        metadata = parse_json(read_bounded(folder / METADATA, METADATA_LIMIT))
        if not isinstance(metadata, dict) or metadata.pop("sha256") != _digest(stored, metadata):
            raise ValueError("their checksum differs")
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"{folder}: {METADATA} or {WEIGHTS} was cut short or altered: {error}."
        ) from error
    if metadata.get("format") != FORMAT:
        raise BadInput(
            f"{folder} has format {metadata.get('format')!r}, from rllib_qatten "
            f"{metadata.get('rllib_qatten')}; this version reads {FORMAT}."
        )
    if wrong := faults(metadata):
        raise BadInput(f"{folder}: {METADATA} is not as this package writes it: {wrong}.")
    metadata["agents"] = list(agent_ids(metadata["agents"]))
    return stored, metadata


def _network(metadata: dict[str, Any], weights: dict[str, Tensor]) -> ActingNetwork:
    """The agent network with its weights; settings that need other sizes are refused."""
    layout = InputLayout(**metadata["inputs"])
    # Initial weights are overwritten, and orthogonal ones are slow to compute.
    settings = metadata["agent"] | {"orthogonal_init": False}
    groups = sharing_groups(
        settings.get("sharing", "all"), layout.n_agents, settings.get("unit_types")
    )
    with torch.device("meta"):  # only shapes, which take no memory
        one = make_agent(
            layout.size, layout.n_actions, layout.n_agents, **settings | {"sharing": "all"}
        )
    expected = sum(p.numel() for p in one.state_dict().values()) * (max(groups) + 1)
    found = sum(weight.numel() for weight in weights.values())
    if found != expected:
        raise ValueError(f"the settings imply {expected:,} weights, but the file has {found:,}")
    if not all(weight.is_floating_point() for weight in weights.values()):
        raise ValueError("some weights are no floating-point numbers")
    _assert_finite(weights)
    network = ActingNetwork(layout, settings)
    network.network.load_state_dict(weights)
    return network


def _assert_finite(weights: dict[str, Tensor]) -> None:
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise ValueError(f"{name} holds values that are not finite")


def _packed(weights: dict[str, Tensor]) -> bytes:
    stored: bytes = save({name: weight.contiguous() for name, weight in weights.items()})
    return stored


def _sum(stored: bytes) -> str:
    return hashlib.sha256(stored).hexdigest()


def agent_ids(stored: list[Any]) -> tuple[Any, ...]:
    """The agents' ids out of the metadata: what is a tuple here is a list there."""
    return tuple(agent_ids(i) if isinstance(i, list) else i for i in stored)


def _digest(stored: bytes, metadata: dict[str, Any]) -> str:
    """A checksum of both files, so that neither can be cut, altered or exchanged unnoticed."""
    return _sum(stored + json.dumps(metadata, sort_keys=True).encode())
