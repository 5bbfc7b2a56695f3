"""A long run: what its processes hold does not grow with the iterations."""

import psutil
import pytest

from tests.experiment.test_signals import Run, changed

FROM, TO = 100, 2100


def held(run):
    """MiB that the driver and its trial hold, and each of Ray's servers, by name."""
    driver = psutil.Process(run.process.pid)
    children = [c for c in driver.children(recursive=True) if "IDLE" not in c.name()]
    found = {child.name(): child.memory_info().rss / 2**20 for child in children}
    return found | {"driver": driver.memory_info().rss / 2**20}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_driver_and_trial_are_flat_over_two_thousand_iterations(tmp_path):
    small = changed(
        min_sample_timesteps_per_iteration=20, updates_per_episode=0.1, evaluation_interval=None,
        replay_capacity_episodes=64,
    )  # fmt: skip
    with Run(tmp_path, small | {"stop": {"training_iteration": TO + 9999}}) as run:
        run.wait_for(lambda: run.lines() >= FROM)
        before = held(run)
        run.wait_for(lambda: run.lines() >= TO, 600)
        after = held(run)
        iterations = run.lines()
        run.process.terminate()
        assert run.end(90) == 143
    for name, size in before.items():
        print(f"{name}: {size:.1f} -> {after.get(name, 0):.1f} MiB, {iterations} iterations")
    [trial] = [name for name in before if name.startswith("ray::QMIX")]
    assert after["driver"] < 1.05 * before["driver"]
    assert after[trial] < 1.05 * before[trial]
