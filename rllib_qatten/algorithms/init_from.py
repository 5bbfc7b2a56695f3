"""A run that begins with another run's agent network."""

from __future__ import annotations

import functools
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.annotations import override
from ray.rllib.utils.torch_utils import update_target_network
from torch import Tensor

from rllib_qatten.checkpoints.location import from_users_folder
from rllib_qatten.checkpoints.other_team import initial_weights
from rllib_qatten.errors import BadInput
from rllib_qatten.messages import say
from rllib_qatten.training.rl_module import ValueDecompositionRLModule


class InitFrom(Algorithm):
    """Loads the agent network of `init_from`, unless a checkpoint of the run itself is restored.

    Whether one will be restored is not known in `setup`. So what is wrong with `init_from`, which
    may be gone when a run continues, is raised when the run goes on without: plays, or is saved.
    """

    _continued = False
    #: What to tell the user, or to raise, once it is certain that nothing is restored.
    _about_init: str | BadInput | None = None

    @override(Algorithm)
    def setup(self, config: Any) -> None:
        """See base class."""
        self._continued, self._about_init = False, None
        super().setup(config)
        if config.init_from is None or self._continued:
            return
        module: Any = self.get_module()
        assert isinstance(module, ValueDecompositionRLModule)
        try:
            weights, trained = initial_weights(
                from_users_folder(config.init_from),
                module.layout,
                module.agent_settings,
                module.spec,
            )
        except BadInput as error:
            self._about_init = error
            return
        self.learner_group.foreach_learner(functools.partial(_begin_with, weights=weights))
        self.env_runner_group.sync_weights(
            from_worker_or_learner_group=self.learner_group, inference_only=True
        )
        self._about_init = (
            f"init_from: the agent network begins as that of {config.init_from} ({trained}). All "
            "else begins anew: mixer, optimizer, exploration, replay."
        )

    @override(Algorithm)
    def step(self) -> dict[str, Any]:
        """See base class.

        Raises:
            BadInput: If `init_from` could not be loaded.
        """
        self._tell()
        result: dict[str, Any] = super().step()
        return result

    @override(Algorithm)
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """See base class and `step`."""
        self._tell()
        return super().evaluate(*args, **kwargs)

    @override(Algorithm)
    def save_to_path(self, *args: Any, **kwargs: Any) -> str:
        """See base class and `step`; `save` comes here as well."""
        self._tell()
        return str(super().save_to_path(*args, **kwargs))

    @override(Algorithm)
    def set_state(self, state: dict[str, Any]) -> None:
        """See base class."""
        super().set_state(state)
        self._continued, self._about_init = True, None

    def _tell(self) -> None:
        about, self._about_init = self._about_init, None
        if isinstance(about, BadInput):
            self._about_init = about
            raise about
        if about:
            say(about)


def _begin_with(learner: Any, weights: dict[str, Tensor]) -> None:
    module = learner.module[DEFAULT_MODULE_ID].unwrapped()
    module.agent.load_state_dict(weights)
    update_target_network(main_net=module.agent, target_net=module.target_agent, tau=1.0)
