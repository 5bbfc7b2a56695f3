"""A long run of short iterations: what grows?"""

import contextlib

import psutil
import pytest

from tests.experiment.runs import Run, changed

#: After how many iterations is compared with how many, and by how much a process may have grown.
BEGIN, END, GROWTH = 100, 2000, 0.05
#: Ray's servers grow by as much when nothing runs: see docs/scale.md.
RAYS_OWN = 5 * 2**20


def resident(process):
    """Bytes by program, of a run and its children."""
    found = {}
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            # A trial's process is called after what it does.
            name = "trial" if each.name().startswith("ray::QMIX") else each.name()
            found["driver" if each == process else name] = each.memory_info().rss
    return found


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_long_run_does_not_grow(tmp_path):
    experiment = changed(
        min_sample_timesteps_per_iteration=32, replay_capacity_episodes=200,
        updates_per_episode=0.25, evaluation_interval=10, evaluation_duration=2,
    ) | {"stop": {"training_iteration": END + 50}}  # fmt: skip
    with Run(tmp_path, experiment) as run:
        process = psutil.Process(run.process.pid)
        run.wait_for(lambda: run.lines() >= BEGIN)
        before = resident(process)
        run.wait_for(lambda: run.lines() >= END, 1500)
        after = resident(process)
        assert run.end() == 0
    for name in before.keys() & after.keys():
        print(f"{name}: {before[name] / 2**20:.1f} to {after[name] / 2**20:.1f} MiB")
    for name in before.keys() & {"driver", "trial"}:
        assert after[name] < (1 + GROWTH) * before[name]
    for name in (before.keys() & after.keys()) - {"driver", "trial"}:
        assert after[name] < before[name] + RAYS_OWN
    assert {"driver", "trial", "gcs_server", "raylet"} <= before.keys() & after.keys()
