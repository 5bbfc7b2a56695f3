from pathlib import Path

import torch
from hypothesis import settings

GOLDEN = Path(__file__).parent / "data" / "golden_mixers.json"

torch.set_num_threads(1)
settings.register_profile("shared_machine", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("shared_machine")


def pytest_addoption(parser):
    parser.addoption("--golden", default=GOLDEN, help="file of reference numbers to test against")
