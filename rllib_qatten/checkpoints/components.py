"""A part of an algorithm, restored from the same part of a checkpoint."""

from __future__ import annotations

import pickle
from pathlib import Path, PurePath
from typing import Any

from ray.rllib.core import (
    COMPONENT_LEARNER,
    COMPONENT_LEARNER_GROUP,
    COMPONENT_OPTIMIZER,
    COMPONENT_RL_MODULE,
    DEFAULT_MODULE_ID,
)
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.utils.checkpoints import Checkpointable

from rllib_qatten.checkpoints.fit import assert_same_optimizers, assert_same_shapes, load
from rllib_qatten.checkpoints.folder import SUMS, CheckpointError, verify
from rllib_qatten.training.rl_module import ValueDecompositionRLModule

#: Where a checkpoint has optimizer and weights.
LEARNER = PurePath(COMPONENT_LEARNER_GROUP, COMPONENT_LEARNER)
POLICY = LEARNER / COMPONENT_RL_MODULE / DEFAULT_MODULE_ID


def find_component(algorithm: Checkpointable, component: str) -> Any:
    """A part of an algorithm; None if it is in another process. RLlib would skip unknown ones.

    Args:
        algorithm: The algorithm.
        component: Names of parts within parts, "learner_group/learner/rl_module".

    Raises:
        CheckpointError: If it has none, with the names of those that are there.
    """
    part: Any = algorithm
    names = component.split("/")
    for i, name in enumerate(names):
        if not isinstance(part, Checkpointable):  # remote; its parts are not here
            return None
        parts = dict(part.get_checkpointable_components())
        if name not in parts:
            inside = "/".join(names[:i])
            there = ", ".join(f"{inside}/{part}" if inside else part for part in parts) or "none"
            raise CheckpointError(
                f"component={component!r}: there is no such component that can be restored by "
                f"itself. {f'Inside {inside}' if inside else 'Here'} are: {there}."
            )
        part = parts[name]
    return part if isinstance(part, Checkpointable) else None


def saved_component(folder: Path, component: str) -> Path:
    """The folder of a saved part, whose checkpoint is verified if it is in one.

    Args:
        folder: A checkpoint, or the part's own folder.
        component: The part's name.

    Raises:
        CheckpointError: If there is none, or if the checkpoint is damaged.
    """
    part = folder / component if (folder / component).is_dir() else folder
    if not (part / Checkpointable.CLASS_AND_CTOR_ARGS_FILE_NAME).is_file():
        why = "holds no part of an algorithm" if folder.is_dir() else "no such folder"
        raise CheckpointError(
            f"component={component!r}: {folder}: {why}; name a checkpoint, or the part's own "
            "folder in it."
        )
    within = part.parents[component.count("/")]
    if within / component == part and (within / SUMS).exists():
        verify(within)
    return part


def assert_component_fits(folder: Path, component: str, part: Any, learners: LearnerGroup) -> None:
    """Compares the saved part of an algorithm with the one that is to take it.

    Args:
        folder: The saved part.
        component: Its name.
        part: The part here, or None if it is in another process.
        learners: The algorithm's learner.

    Raises:
        CheckpointError: If it is another part, or if weights or optimizer differ in kind or shape.
    """
    saved = _class_in(folder)
    wanted = ValueDecompositionRLModule if component == str(POLICY) else type(part)
    if not (saved is None or part is None or issubclass(saved, wanted) or isinstance(part, saved)):
        raise CheckpointError(
            f"component={component!r}: {folder} holds a {saved.__name__}, which is another part."
        )
    if not POLICY.is_relative_to(component):
        return
    paths = [f"{COMPONENT_LEARNER}/{name}" for name in (COMPONENT_RL_MODULE, COMPONENT_OPTIMIZER)]
    here = learners.get_state(components=paths)[COMPONENT_LEARNER]
    weights = load(folder / POLICY.relative_to(component), "module_state")
    assert_same_shapes(weights, here[COMPONENT_RL_MODULE][DEFAULT_MODULE_ID])
    if LEARNER.is_relative_to(component):
        optimizers = load(folder / LEARNER.relative_to(component), "state")[COMPONENT_OPTIMIZER]
        assert_same_optimizers(optimizers, here[COMPONENT_OPTIMIZER])


def policy_folder(path: Path) -> Path:
    """The weights that `load_state_path` names: a checkpoint's, or the folder of a policy in it.

    Raises:
        CheckpointError: If there are none.
    """
    for folder in (path, path / POLICY):
        if (folder / Checkpointable.CLASS_AND_CTOR_ARGS_FILE_NAME).exists() and any(
            folder.glob("module_state.*")
        ):
            return folder
    raise CheckpointError(
        f"load_state_path: {path} holds no policy: name a checkpoint, or the folder {POLICY} in it."
    )


def _class_in(folder: Path) -> type | None:
    """The class of a saved part; None if it cannot be told, for lack of a module for instance."""
    try:
        with (folder / Checkpointable.CLASS_AND_CTOR_ARGS_FILE_NAME).open("rb") as file:
            saved: type = pickle.load(file)["class"]
        return saved
    except Exception:  # pickles of other versions raise anything; the part's state decides
        return None
