"""Odd files and arguments end in one message each; see `odd_inputs`."""

import pytest

from tests.experiment import odd_inputs


def tried(folder, seed, cases):
    faults = []

    def tell(kind, arguments, content, said):
        if kind not in ("refused", "accepted"):
            faults.append((kind, arguments, content[:2000], said))

    counts, left = odd_inputs.run(seed, cases, folder, tell)
    assert not faults
    assert counts["refused"] + counts["accepted"] == cases
    assert counts["accepted"] > cases / 100  # some are only unusual
    assert left == ["exp.yaml", "fifo", "locked"]
    assert counts["slowest"] < odd_inputs.LIMIT


def test_odd_inputs_end_in_one_message(tmp_path):
    tried(tmp_path, seed=2, cases=150)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_more_end_in_one_message(tmp_path):
    tried(tmp_path, seed=3, cases=1000)
