"""Tune's manager of actors, without its memory of every call."""

from __future__ import annotations

from typing import Any

from ray.air.execution._internal import RayActorManager


class ForgetfulActorManager(RayActorManager):
    """Lets go of calls that were answered.

    Ray 2.60 keeps a reference to every call until the trial ends, and with it the call's result:
    the driver would grow by a result per iteration.
    """

    def _actor_task_resolved(self, tracked_actor_task: Any, result: Any) -> None:
        super()._actor_task_resolved(tracked_actor_task, result)
        # None once the result ended the trial.
        calls = self._tracked_actors_to_task_futures.get(tracked_actor_task._tracked_actor)
        if calls:
            calls &= self._actor_task_events.get_futures()  # in place
