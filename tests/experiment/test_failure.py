"""What a user reads when Ray killed a trial for lack of memory."""

import pytest
from ray.exceptions import RayError

from rllib_qatten.experiment.failure import _death, out_of_memory
from tests.experiment.runs import GAME, Run


@pytest.mark.parametrize(
    "said",
    [
        "(IP: 127.0.0.1, ID: 9ceb) was 22.60GB used / 23.54GB limit (0.960000)",
        "where the lease was running was 22.60GB / 23.54GB (0.96), which exceeds the threshold",
    ],
)
def test_rays_message_in_both_forms(said):
    told = out_of_memory(f"1 worker(s) were killed. Memory on the node {said}\nRefer to the docs.")
    assert "22.60GB of 23.54GB were in use" in told
    assert "replay_capacity_episodes" in told


def test_other_messages_are_not_taken_for_it():
    assert out_of_memory("ValueError: memory was full of 3 games / 4") is None
    assert out_of_memory("None") is None


@pytest.mark.parametrize(
    "last",
    ["ValueError: 3", "gymnasium.error.NameNotFound: Environment `nope` doesn't exist. So."],
)
def test_a_process_that_could_not_be_built_says_what_it_raised(last):
    text = f"The actor died because of an error\n  File 'a.py', line 3: __init__\n{last}"
    assert _death(RayError(text)) == last
    assert "no reason is known" in _death(RayError("The actor died. class_name: PPO\n"))


@pytest.mark.slow
def test_a_trial_that_ray_kills_for_memory(tmp_path):
    everything = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "100"}
    with Run(tmp_path, GAME, **everything) as run:
        assert run.process.wait(120) == 1
    said = (tmp_path / "stderr").read_text()
    assert "Error: OutOfMemoryError: a process of the trial was killed because memory ran" in said
    assert "Use a smaller replay_capacity_episodes" in said
