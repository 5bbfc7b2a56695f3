import os
from pathlib import Path

# Ray runs its workers at nice 15: on a machine that does other work they would wait for minutes.
# Read by the processes that start them, so also by those that tests start.
os.environ.setdefault("RAY_worker_niceness", "0")

import pytest
import ray
import torch
from hypothesis import settings

GOLDEN = Path(__file__).parent / "data" / "golden_mixers.json"

torch.set_num_threads(1)
settings.register_profile("shared_machine", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("shared_machine")


def pytest_addoption(parser):
    parser.addoption("--golden", default=GOLDEN, help="file of reference numbers to test against")


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
