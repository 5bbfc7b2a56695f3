"""Does a checkpoint, or a state, go into the algorithm that is to take it? Asked before it does."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from ray.rllib.core import (
    COMPONENT_ENV_RUNNER,
    COMPONENT_ENV_TO_MODULE_CONNECTOR,
    COMPONENT_EVAL_ENV_RUNNER,
    COMPONENT_LEARNER,
    COMPONENT_LEARNER_GROUP,
    COMPONENT_METRICS_LOGGER,
    COMPONENT_MODULE_TO_ENV_CONNECTOR,
    COMPONENT_OPTIMIZER,
    COMPONENT_RL_MODULE,
    DEFAULT_MODULE_ID,
)
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.tune.result import TRAINING_ITERATION

from rllib_qatten.checkpoints.folder import ALGORITHM, CheckpointError
from rllib_qatten.errors import BadInput
from rllib_qatten.training.weights import MOST, weight_faults

#: A setting's name, its value in a checkpoint, and its value here.
Differs = tuple[str, Any, Any]
#: What only one kind of optimizer has among its settings -> its `optimizer_name`.
OPTIMIZERS = {"alpha": "rmsprop", "betas": "adam"}
#: The key of this package's part of an algorithm's state.
LOOP = "loop"
#: All parts of an algorithm's state.
PARTS = (
    *(COMPONENT_LEARNER_GROUP, COMPONENT_ENV_RUNNER, COMPONENT_EVAL_ENV_RUNNER),
    *(COMPONENT_ENV_TO_MODULE_CONNECTOR, COMPONENT_MODULE_TO_ENV_CONNECTOR),
    *(COMPONENT_METRICS_LOGGER, TRAINING_ITERATION, LOOP),
)


def assert_learner_fits(
    folder: Path, learners: LearnerGroup, agent: Iterable[Differs], mixer: Iterable[Differs]
) -> None:
    """Compares weights and optimizer of a checkpoint with those of the learner.

    Args:
        folder: The checkpoint.
        learners: The learner.
        agent: How the settings of the agent networks differ, which must be alike.
        mixer: How the mixers' options differ, which may matter to the weights or not.

    Raises:
        CheckpointError: If they differ in kind or shape.
    """
    parts = [f"{COMPONENT_LEARNER}/{part}" for part in (COMPONENT_RL_MODULE, COMPONENT_OPTIMIZER)]
    here = learners.get_state(components=parts)[COMPONENT_LEARNER]
    learner = folder / COMPONENT_LEARNER_GROUP / COMPONENT_LEARNER
    weights = load(learner / COMPONENT_RL_MODULE / DEFAULT_MODULE_ID, "module_state")
    weights_here = here[COMPONENT_RL_MODULE][DEFAULT_MODULE_ID]
    standardized = "standardize_rewards"  # the setting, and the module that it brings
    in_it, current = (any(f"{standardized}." in n for n in w) for w in (weights, weights_here))
    differ = [*agent, *([(standardized, in_it, current)] if in_it != current else [])]
    if differ:
        raise CheckpointError(
            f"The checkpoint does not fit: {'; '.join(map(_told, differ))}. Build the algorithm "
            "with the checkpoint's settings."
        )
    assert_same_shapes(weights, weights_here, mixer)
    optimizers = load(learner, "state")[COMPONENT_OPTIMIZER]
    assert_same_optimizers(optimizers, here[COMPONENT_OPTIMIZER])


def assert_same_shapes(
    saved: dict[str, Any], here: dict[str, Any], mixer: Iterable[Differs] = ()
) -> None:
    """Compares the weights of a checkpoint with those of the algorithm that is to load it.

    Args:
        saved: The checkpoint's.
        here: The algorithm's.
        mixer: How the mixers' options differ.

    Raises:
        CheckpointError: If names or shapes differ, naming the first that do.
    """
    if faults := weight_faults(saved, here):
        raise CheckpointError(
            "The checkpoint's weights do not fit; has the env, the mixer or the size of a network "
            f"changed? {'; '.join([*map(_told, mixer), *faults])}."
        )


def assert_weights_fit(given: dict[str, Any], here: dict[str, Any]) -> None:
    """The same for weights that the user gives, which must be finite, too.

    Raises:
        BadInput: If names or shapes differ, or if some are not finite.
    """
    faults = weight_faults(given, here)
    if not faults:
        odd = [name for name, w in given.items() if not torch.as_tensor(w).isfinite().all()]
        faults = [f"{name} holds values that are not finite" for name in odd[:MOST]]
    if faults:
        raise BadInput(
            f"These weights are not of such an algorithm: {'; '.join(faults)}. Nothing was changed."
        )


def assert_state_fits(state: dict[str, Any], name: str, learners: LearnerGroup) -> None:
    """Compares an algorithm's state, or a part of one, with the algorithm that is to take it.

    Args:
        state: See `Algorithm.get_state`.
        name: The algorithm's.
        learners: Its learner.

    Raises:
        BadInput: If it has unknown parts, is another algorithm's, or if weights do not fit.
        CheckpointError: If it has the state of another kind of optimizer.
    """
    assert_parts(state)
    theirs = state.get(LOOP, {}).get(ALGORITHM, name)
    if theirs != name:
        raise BadInput(f"This is the state of {theirs}, which does not go into {name}.")
    learner = state.get(COMPONENT_LEARNER_GROUP, {}).get(COMPONENT_LEARNER, {})
    parts = [p for p in (COMPONENT_RL_MODULE, COMPONENT_OPTIMIZER) if p in learner]
    if not parts:
        return
    paths = [f"{COMPONENT_LEARNER}/{part}" for part in parts]
    here = learners.get_state(components=paths)[COMPONENT_LEARNER]
    if COMPONENT_RL_MODULE in parts:
        given, own = (s[COMPONENT_RL_MODULE].get(DEFAULT_MODULE_ID, {}) for s in (learner, here))
        assert_weights_fit(given, own)
    if COMPONENT_OPTIMIZER in parts:
        assert_same_optimizers(learner[COMPONENT_OPTIMIZER], here[COMPONENT_OPTIMIZER])


def assert_parts(names: Iterable[str]) -> None:
    """Verifies names of parts of an algorithm's state, or of their parts, as "loop/games".

    Raises:
        BadInput: If there are no such parts.
    """
    unknown = [name for name in names if name.partition("/")[0] not in PARTS]
    if unknown:
        raise BadInput(
            f"An algorithm's state has no {', '.join(map(repr, unknown))}, but {', '.join(PARTS)}."
        )


def assert_same_optimizers(saved: dict[str, Any], here: dict[str, Any]) -> None:
    """Compares the kinds of optimizers, whose states torch would mix.

    Raises:
        CheckpointError: If they differ.
    """
    for name in here.keys() & saved.keys():
        in_it, current = _kind(saved[name]), _kind(here[name])
        if in_it != current:
            raise CheckpointError(
                f"The checkpoint's optimizer does not fit: its optimizer_name is {in_it}, and here "
                f"it is {current}. Build the algorithm with optimizer_name={in_it!r}; or take only "
                "the agent network over, init_from, and begin all else anew."
            )


def _told(differs: Differs) -> str:
    name, in_it, current = differs
    return f"{name}: {in_it} in the checkpoint, {current} here"


def _kind(optimizer: dict[str, Any]) -> str:
    settings = optimizer["state"]["param_groups"][0]
    return next((kind for mark, kind in OPTIMIZERS.items() if mark in settings), "another one")


def load(folder: Path, name: str) -> Any:
    """What a file of RLlib's, whatever its ending, holds.

    Raises:
        CheckpointError: If it is missing or cannot be read.
    """
    try:
        with next(folder.glob(f"{name}.*")).open("rb") as file:
            return pickle.load(file)
    except (StopIteration, OSError, EOFError, pickle.UnpicklingError) as error:
        why = "is missing" if isinstance(error, StopIteration) else f"cannot be read: {error}"
        raise CheckpointError(f"{folder} is damaged: its {name} {why}.") from error
