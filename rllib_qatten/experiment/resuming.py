"""`--resume`: is the checkpoint whole, and how do its settings differ?"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ray.rllib.algorithms.algorithm import Algorithm

from rllib_qatten.algorithms.resolve import algorithm_class
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.checkpoints import folder as checkpoints
from rllib_qatten.checkpoints import zoo
from rllib_qatten.checkpoints.location import local, nearby
from rllib_qatten.envs.battles.armies import with_one_name
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.settings import validated
from rllib_qatten.experiment.tuner import Plan
from rllib_qatten.experiment.typed import PLAIN, shown

#: Settings that change the shapes of the networks' or the optimizer's state.
FIXED = (
    *("agent", "parameter_sharing", "layer_norm", "hidden_size"),
    *("standardize_rewards", "optimizer_name"),
)
#: How many differences are shown.
MOST = 20
#: The file that identifies a checkpoint.
MARK = Path(Algorithm.METADATA_FILE_NAME)


def checkpoint_to_resume(path: Path, plan: Plan) -> Path:
    """The absolute path of a checkpoint of a plan's algorithm, read to its last byte.

    Raises:
        BadInput: If it is not valid, naming the newest valid one below or next to it.
    """
    algorithm = algorithm_class(plan.experiment.run)
    if zoo.is_address(path):
        raise BadInput(f"--resume: {zoo.no_checkpoint(str(path))}")

    def check(folder: Path) -> Path:
        if issubclass(algorithm, ValueDecomposition):
            checkpoints.verify(folder, algorithm.__name__)
        else:
            checkpoints.read_metadata(folder)
        return folder.resolve()

    try:
        path = local(path)
        try:
            return check(path)
        except checkpoints.CheckpointError as error:
            hint = ""
            for folder in nearby(path, MARK):
                with contextlib.suppress(checkpoints.CheckpointError):
                    hint = f" Did you mean {check(folder)}?"
                    break
            raise BadInput(f"--resume {error}{hint}") from error
    except (OSError, ValueError) as error:  # a name that no file can have
        if isinstance(error, BadInput):
            raise
        why = getattr(error, "strerror", None) or error  # without the name once more
        raise BadInput(f"--resume {shown(str(path))}: is not a checkpoint: {why}") from error


def differences(checkpoint: Path, plan: Plan) -> list[str]:
    """How the settings of a plan's one trial differ from those that a checkpoint was saved with.

    Args:
        checkpoint: A verified checkpoint; the user trusts it, and it is unpickled.
        plan: The plan.

    Returns:
        A line for each; none for algorithms of other packages.

    Raises:
        BadInput: If the checkpoint's state cannot go into networks or an optimizer of these
            settings.
    """
    algorithm = algorithm_class(plan.experiment.run)
    if not issubclass(algorithm, ValueDecomposition):
        return []
    config = next(iter(plan.experiment.variants()))
    here: Any = validated(plan.experiment, algorithm, config)
    before = _saved_settings(checkpoint)
    changed = dict(_changed(with_one_name(before), with_one_name(here.get_state())))
    lines = [f"{key}: {shown(old)} in the checkpoint, {shown(new)} here"
             for key, (old, new) in changed.items()]  # fmt: skip
    unfit = [key for key in changed if key in FIXED]
    if not unfit and changed.keys() & set(here.options):
        there = algorithm.get_default_config().update_from_dict(
            {key: before[key] for key in here.options if key in before}
        )
        if _mixer_shapes(there) != _mixer_shapes(here):
            unfit = [key for key in changed if key in here.options]
    if unfit:
        told = "; ".join(line for line in lines if line.partition(":")[0] in unfit)
        raise BadInput(
            f"--resume {checkpoint}: its weights and optimizer do not fit these settings: {told}."
        )
    return lines if len(lines) <= MOST else [*lines[:MOST], f"and {len(lines) - MOST} more"]


def _saved_settings(checkpoint: Path) -> dict[str, Any]:
    """The settings of the algorithm that saved a checkpoint, from RLlib's own file."""
    file = checkpoint / Algorithm.CLASS_AND_CTOR_ARGS_FILE_NAME
    try:
        with file.open("rb") as opened:
            [settings], _ = pickle.load(opened)["ctor_args_and_kwargs"]
        return dict(settings)
    except Exception as error:  # pickles of other versions raise anything
        raise BadInput(
            f"--resume {checkpoint}: {file.name} cannot be read here: {type(error).__name__}: "
            f"{error}. Continue with the code and the packages that it was saved with."
        ) from error


def _changed(
    before: dict[str, Any], here: dict[str, Any], inside: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Dotted key -> (old, new) for plain values that differ, among the keys that both have."""
    for key in before.keys() & here.keys() if not inside else before.keys() | here.keys():
        old, new = before.get(key), here.get(key)
        if str(key).startswith("_") or not {type(old), type(new)} <= {*PLAIN}:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changed(old, new, f"{inside}{key}.")
        elif old != new:
            yield f"{inside}{key}", (old, new)


def _mixer_shapes(settings: Any) -> dict[str, Any]:
    """The shapes of a mixer's weights for the smallest team."""
    with torch.device("meta"):
        mixer = settings.rl_module_class.make_mixer(
            TeamSpec(("agent",), 1, 1, 1), settings._model_config_auto_includes
        )
    return (
        {name: tuple(weight.shape) for name, weight in mixer.state_dict().items()} if mixer else {}
    )
