"""Where compiled functions come from: one process compiles, others read, or torch does it."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")

#: An update's functions in a process of their own: says what was said, and the result's digits.
CODE = """
import torch
from rllib_qatten.mixers import MIXERS
torch.manual_seed(0)
mixer = MIXERS["qmix"](3, 5)
q = mixer(torch.randn(4, 3), torch.randn(4, 5)).q_tot
print(q.grad_fn.name(), q.sum().item().hex())
"""


def start(home, **variables):
    environment = os.environ | {"XDG_CACHE_HOME": str(home)} | variables
    command = [sys.executable, "-c", CODE]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_of_two_processes_one_compiles_and_a_third_reads(tmp_path):
    answers = [p.communicate() for p in [start(tmp_path), start(tmp_path)]]
    answers.append(start(tmp_path).communicate())
    said = [error.count("compiling what updates need (qmix") for _, error in answers]
    assert sorted(said[:2]) == [0, 1]
    assert said[2] == 0
    assert len({out for out, _ in answers}) == 1
    assert answers[0][0].startswith("_Mixing")
    # numba's own setting, which is for all of a process, stays as it was.
    assert not (tmp_path / "numba").exists()


def test_without_a_place_to_keep_them_torch_does_it_and_says_so_once(tmp_path):
    (tmp_path / "rllib_qatten").write_text("a file where the folder should be")
    out, error = start(tmp_path).communicate()
    assert not out.startswith("_Mixing")
    assert error.count("torch's slower functions are used") == 1
    assert "XDG_CACHE_HOME" in error


def test_switched_off(tmp_path):
    out, error = start(tmp_path, RLLIB_QATTEN_COMPILED="0").communicate()
    assert not out.startswith("_Mixing")
    assert not error
    assert not list(tmp_path.iterdir())
