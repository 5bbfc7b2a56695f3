"""A team's agent network in a folder: weights as safetensors, all else as JSON.

Every checkpoint holds this folder. It is all that acting needs, and reading it runs no code from
it, unlike RLlib's own files beside it, which are pickled.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from rllib_qatten.agents.acting import ActingNetwork
from rllib_qatten.agents.inputs import InputLayout
from rllib_qatten.errors import BadInput

#: The folder's name in a checkpoint, and its two files.
FOLDER, WEIGHTS, METADATA = "team_policy", "policy.safetensors", "policy.json"
#: Raised when a reader of today could not read what is written.
FORMAT = 1


def files(
    weights: dict[str, Tensor], layout: InputLayout, settings: dict[str, Any], about: dict[str, Any]
) -> dict[str, bytes]:
    """The folder's files by name.

    Args:
        weights: State of the agent network.
        layout: Its input layout.
        settings: Its settings.
        about: What else is to be known of the policy, as JSON has it.
    """
    stored = save({name: weight.contiguous() for name, weight in weights.items()})
    inputs = dataclasses.asdict(layout)
    metadata = {"format": FORMAT, **about, "inputs": inputs, "agent": settings}
    metadata["sha256"] = _digest(stored, metadata)
    return {WEIGHTS: stored, METADATA: json.dumps(metadata, indent=2).encode()}


def read(checkpoint: str | Path) -> tuple[ActingNetwork, dict[str, Any]]:
    """Reads a checkpoint's agent network and metadata.

    Args:
        checkpoint: A checkpoint's folder, or the folder `team_policy` itself.

    Raises:
        BadInput: If it is no checkpoint, or was cut short or altered.
    """
    folder = _folder(Path(checkpoint))
    try:
        stored = (folder / WEIGHTS).read_bytes()
        metadata = json.loads((folder / METADATA).read_bytes())
        if not isinstance(metadata, dict) or metadata.pop("sha256") != _digest(stored, metadata):
            raise ValueError("their checksum is another one")
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"{folder}: {METADATA} or {WEIGHTS} was cut short or altered: {error}."
        ) from error
    if metadata["format"] != FORMAT:
        raise BadInput(
            f"{folder}: has format {metadata['format']!r}, from rllib_qatten "
            f"{metadata['rllib_qatten']}; this version reads {FORMAT}."
        )
    network = ActingNetwork(InputLayout(**metadata["inputs"]), metadata["agent"])
    network.network.load_state_dict(load(stored))
    return network.eval().requires_grad_(False), metadata


def agent_ids(stored: list[Any]) -> tuple[Any, ...]:
    """The agents' ids out of the metadata: what is a tuple here is a list there."""
    return tuple(agent_ids(i) if isinstance(i, list) else i for i in stored)


def _digest(stored: bytes, metadata: dict[str, Any]) -> str:
    """Of both files, so that none can be cut, altered or exchanged unseen."""
    return hashlib.sha256(stored + json.dumps(metadata, sort_keys=True).encode()).hexdigest()


def _folder(path: Path) -> Path:
    """The folder `team_policy` of a checkpoint."""
    for folder in (path / FOLDER, path):
        if (folder / METADATA).is_file():
            return folder
    if not path.is_dir():
        fault = "no such folder"
    elif (path / "rllib_checkpoint.json").is_file():
        fault = f"a checkpoint without {FOLDER}/, so of another algorithm than this package's"
    else:
        fault = f"no checkpoint: it holds no {FOLDER}/"
    # A run's or a trial's folder is easily taken for the checkpoint in it.
    near = [f for depth in ("", "*/", "*/*/") for f in path.glob(f"{depth}*/{FOLDER}/{METADATA}")]
    near = near or list(path.parent.glob(f"*/{FOLDER}/{METADATA}"))
    newest = max(near, key=lambda file: file.stat().st_mtime, default=None)
    hint = f" Did you mean {newest.parents[1]}?" if newest else ""
    raise BadInput(f"{path}: {fault}.{hint}")
