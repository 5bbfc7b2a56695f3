"""Methods of RLlib's old API stack: what works here, works; the others say what to call instead."""

from __future__ import annotations

import reprlib
from typing import Any, NoReturn

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import (
    COMPONENT_LEARNER,
    COMPONENT_LEARNER_GROUP,
    COMPONENT_RL_MODULE,
    DEFAULT_MODULE_ID,
)
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.utils.annotations import override

from rllib_qatten.errors import BadInput

_ACT = (
    "a team acts from its checkpoint: team = TeamPolicy.from_checkpoint(algorithm.save_to_path()), "
    "then team.act(observations, action_mask) for all agents, or team.agent(AGENT) for one of them"
)
_ONE_MODULE = f"a team has one policy, {DEFAULT_MODULE_ID!r}, which acts for all agents"


class OldAPIStack(Algorithm):
    """Calls that users know from the old API stack."""

    @override(Algorithm)
    def compute_single_action(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not here: says what is."""
        raise BadInput(f"compute_single_action belongs to RLlib's old API stack. Here {_ACT}.")

    @override(Algorithm)
    def compute_actions(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not here: says what is."""
        raise BadInput(f"compute_actions belongs to RLlib's old API stack. Here {_ACT}.")

    @override(Algorithm)
    def get_policy(self, policy_id: str = DEFAULT_MODULE_ID) -> NoReturn:
        """Not here: says what is."""
        raise BadInput(
            "get_policy belongs to RLlib's old API stack. algorithm.get_module() is the network, "
            f"algorithm.get_weights() and set_weights() are its weights. To act, {_ACT}."
        )

    @override(Algorithm)
    def get_module(self, module_id: str = DEFAULT_MODULE_ID) -> RLModule | None:
        """The agent network, as env runners have it.

        Raises:
            BadInput: For any policy but the single one.
        """
        if module_id != DEFAULT_MODULE_ID:
            raise BadInput(f"There is no module {module_id!r}: {_ONE_MODULE}.")
        return super().get_module(module_id)

    @override(Algorithm)
    def set_weights(self, weights: dict[str, dict[str, Any]]) -> None:
        """Sets what `get_weights` of an algorithm of the same sizes returned, targets included.

        Raises:
            BadInput: If they are of any other policy, do not fit or are not finite.
        """
        if set(weights) != {DEFAULT_MODULE_ID}:
            raise BadInput(f"Weights are of {reprlib.repr(list(weights))}: {_ONE_MODULE}.")
        # RLlib's own fails with its new env runners, which have no `set_weights`.
        learner = {COMPONENT_RL_MODULE: weights}
        self.set_state({COMPONENT_LEARNER_GROUP: {COMPONENT_LEARNER: learner}})

    @override(Algorithm)
    def add_module(self, module_id: str, *args: Any, **kwargs: Any) -> NoReturn:
        """Not here: says why."""
        raise BadInput(f"Module {module_id!r} cannot be added: {_ONE_MODULE}.")

    @override(Algorithm)
    def remove_module(self, module_id: str, *args: Any, **kwargs: Any) -> NoReturn:
        """Not here: says why."""
        raise BadInput(f"Module {module_id!r} cannot be removed: {_ONE_MODULE}.")

    @override(Algorithm)
    def add_policy(self, policy_id: str, *args: Any, **kwargs: Any) -> NoReturn:
        """Not here: says why."""
        raise BadInput(f"Policy {policy_id!r} cannot be added: {_ONE_MODULE}.")

    @override(Algorithm)
    def export_policy_model(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not here: says what is."""
        raise BadInput("rllib export CHECKPOINT --format torch or onnx writes the agents' network.")

    @override(Algorithm)
    def export_policy_checkpoint(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not here: says what is."""
        raise BadInput(
            "Every checkpoint, as algorithm.save_to_path(PATH) writes it, holds the team for "
            "acting in team_policy/: TeamPolicy.from_checkpoint(PATH)."
        )
