"""What Tune's driver keeps of the calls that it made."""

import gc

import pytest
import ray
from ray.air.execution import FixedResourceManager, ResourceRequest
from ray.tune.execution import tune_controller

from rllib_qatten.experiment import tuner  # noqa: F401  (it brings its manager to Tune)

pytestmark = pytest.mark.slow  # processes to start


class Trial:
    """An actor with results."""

    def train(self, number):
        return {"number": number}

    def fail(self):
        raise RuntimeError("no result")


def references():
    gc.collect()
    return sum(type(thing) is ray.ObjectRef for thing in gc.get_objects())


@pytest.fixture
def manager(ray_session):
    return tune_controller.RayActorManager(FixedResourceManager({"CPU": 2}))


def test_calls_that_were_answered_are_forgotten(manager):
    actor = manager.add_actor(Trial, {}, ResourceRequest([{"CPU": 1}]))
    results, failures, counts = [], [], []
    for number in range(40):
        manager.schedule_actor_task(
            actor, "train", (number,),
            on_result=lambda actor, result: results.append(result["number"]),
        )  # fmt: skip
        while len(results) <= number:
            manager.next(timeout=30)
        if number in (5, 39):
            counts.append(references())
    assert results == list(range(40))
    assert counts[0] == counts[1]
    manager.schedule_actor_task(actor, "train", (40,))
    manager.schedule_actor_task(actor, "fail", on_error=lambda actor, error: failures.append(error))
    while not failures:
        manager.next(timeout=30)
    manager.remove_actor(actor)
    while manager.num_live_actors:
        manager.next(timeout=30)


def test_a_trial_that_its_result_ends_leaves_nothing(manager):
    actor = manager.add_actor(Trial, {}, ResourceRequest([{"CPU": 1}]))
    manager.schedule_actor_task(
        actor, "train", (0,), on_result=lambda actor, result: manager.remove_actor(actor)
    )
    manager.next(timeout=30)
    while manager.num_live_actors:
        manager.next(timeout=30)
    assert not manager._tracked_actors_to_task_futures
