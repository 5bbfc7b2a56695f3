import os
import secrets
from pathlib import Path

# Ray runs its workers at nice 15: on a machine that does other work they would wait for minutes.
# Read by the processes that start them, so also by those that tests start.
os.environ.setdefault("RAY_worker_niceness", "0")
# One token for all of pytest's processes: on a new machine each would write its own to the user's
# home, over that of a Ray that is about to start.
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

import pytest
import ray
import torch
from hypothesis import settings
from ray.tune.utils.util import UtilMonitor

GOLDEN = Path(__file__).parent / "data" / "golden_mixers.json"

torch.set_num_threads(1)
settings.register_profile("shared_machine", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("shared_machine")


#: Files that take longest, the longest first: they start processes, or train.
LONGEST = (
    *("test_every_algorithm.py", "test_sc2.py", "test_tuner.py", "test_resume.py"),
    *("test_learning.py", "test_small_games.py", "test_train_runs.py", "test_overlapped.py"),
    *("test_learners.py", "test_one_algorithm.py"),
    *("test_working_settings.py", "test_restoring.py", "test_faults.py", "test_benchmarks.py"),
    *("test_docs.py", "test_across_learners.py"),
)


def pytest_configure(config):
    # pytest-xdist would begin with the files of most tests and end with few long ones, in which
    # one process has nothing to do.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    """Begins with the longest files; what trains until a game is won comes last."""
    rank = {name: place for place, name in enumerate(LONGEST)}

    def place(item):
        learns = item.get_closest_marker("learning") is not None
        return learns, rank.get(item.path.name, len(rank))

    items.sort(key=place)


def pytest_addoption(parser):
    parser.addoption("--golden", default=GOLDEN, help="file of reference numbers to test against")


@pytest.fixture(scope="session", autouse=True)
def quick_ends():
    """Ray's thread that watches the machine sleeps 0.7 s at a time; a run's end waits for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UtilMonitor.__init__, "__defaults__", (True, 0.05))
        yield


@pytest.fixture(scope="session")
def ray_session():
    """Ray, started once for all tests that need it."""
    path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    ray.init(
        num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(path)}},
    )  # fmt: skip
    yield
    ray.shutdown()
