"""A trained agent network as a file that runs without this package."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from rllib_qatten.errors import BadInput, one_of
from rllib_qatten.evaluation.team_policy import TeamPolicy
from rllib_qatten.files import replacing

#: Format -> suffix of its files.
FORMATS = {"onnx": ".onnx", "torch": ".pt2"}
INPUTS = ("observations", "last_actions", "hidden")
OUTPUTS = ("utilities", "next_hidden")


def export(policy: TeamPolicy, form: str = "onnx", file: Path | None = None) -> Path:
    """Writes one step of the whole team as a graph, for any number of games G.

    Inputs: `observations` [G, N, O] float32, `last_actions` [G, N] int64 (-1 in a game's first
    step), `hidden` [G, N, h] float32 (zeros in a game's first step). Outputs: `utilities`
    [G, N, A], of which the best legal one is the agent's action, and `next_hidden` [G, N, h].
    One-hot actions and agent ids are computed inside. The metadata of `policy.json` is included: in
    ONNX as its metadata, each value as JSON; in torch's format as the extra file `policy.json`.

    Args:
        policy: What to export.
        form: "onnx", or "torch" for `torch.export`'s, since TorchScript is no longer maintained.
        file: The file; by default `team_policy` with the format's suffix, in the working directory.

    Returns:
        The file.

    Raises:
        BadInput: If the format is unknown, the file cannot be written, or ONNX is not installed.
    """
    try:
        one_of(form, FORMATS, "format")
    except ValueError as error:
        raise BadInput(f"--format: {error}") from error
    for module in ("onnx", "onnxscript") if form == "onnx" else ():
        if importlib.util.find_spec(module) is None:
            raise BadInput(
                f"--format onnx needs the extra 'export' ({module} is not installed): "
                "pip install 'rllib-qatten[export]'"
            )
    file = file or Path("team_policy").with_suffix(FORMATS[form])
    network = policy.network
    # Two games: with one, the exporter would take the axis for a constant.
    example = (
        torch.zeros(2, network.layout.n_agents, network.layout.observation_size),
        torch.full((2, network.layout.n_agents), -1),
        network.initial_hidden(2),
    )
    games = {0: torch.export.Dim("games", min=1)}
    with replacing(file) as temporary, _quiet():
        program = torch.export.export(network, example, dynamic_shapes=(games,) * 3)
        if form == "torch":
            about = {"policy.json": json.dumps(policy.metadata)}
            torch.export.save(program, temporary, extra_files=about)
            return file
        graph = torch.onnx.export(
            program, dynamo=True, input_names=INPUTS, output_names=OUTPUTS, verbose=False
        )
        assert graph is not None  # None only if the exporter writes a file itself
        for name, value in policy.metadata.items():
            graph.model.metadata_props[name] = json.dumps(value)
        graph.save(temporary)
    return file


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences torch's exporter, which reports skipped operators and its own deprecations."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            yield
    finally:
        logging.disable(disabled)
