"""What a machine has, and which of its cores are taken."""

import os
from types import SimpleNamespace

import pytest

from rllib_qatten.hardware import machine


@pytest.mark.parametrize(
    ("bound", "wanted"),
    [
        ([], [0, 1, 2, 0]),
        ([0], [1, 1, 2, 1]),
        ([0, 1, 1, 2], [0, 2, 2, 0]),
        ([0, 1, 2], [0, 1, 2, 0]),
    ],
)
def test_a_worker_takes_the_core_that_the_fewest_are_bound_to(monkeypatch, bound, wanted):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 0, 1})
    found = [{"name": "ray::QMIX", "cpu_affinity": [core]} for core in bound]
    found += [
        {"name": "kworker/0", "cpu_affinity": [0]},
        {"name": "ray::IDLE", "cpu_affinity": [0, 1, 2]},
        {"name": None, "cpu_affinity": None},
    ]
    monkeypatch.setattr(
        machine.psutil, "process_iter", lambda _: [SimpleNamespace(info=info) for info in found]
    )
    assert [machine.freest_core(place) for place in range(4)] == wanted
