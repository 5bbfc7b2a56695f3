"""The choice of a library for matrix products: measured once, then the same everywhere."""

import json
import os
import subprocess
import sys

import pytest

from rllib_qatten.hardware import machine, product_choice
from rllib_qatten.hardware.product_choice import ASKED_FOR, VARIABLE, judge


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A user who has not measured yet; returns the choice as a new process finds it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)

    def chosen():
        product_choice.choice.cache_clear()
        return product_choice.choice()

    yield chosen
    product_choice.choice.cache_clear()


def test_onednn_is_taken_from_where_it_always_wins():
    slower, faster = [10.0, 9.0], [10.0, 20.0]
    never = {"32": faster, "96": faster, "256": slower}
    assert judge(never, "x").onednn_from is None
    assert judge(never | {"256": faster}, "x").onednn_from == 32
    assert judge({"32": faster, "96": slower, "128": faster, "256": faster}, "x").onednn_from == 128
    # Within the noise is no gain.
    assert judge({"256": [10.0, 10.2]}, "x").onednn_from is None


def test_measured_once_and_then_kept(fresh, tmp_path, monkeypatch):
    first = fresh()
    (file,) = (tmp_path / "rllib_qatten" / "products").iterdir()
    kept = json.loads(file.read_text())
    assert machine.processor() in kept["measured_on"]
    assert all(time > 0 for times in kept["microseconds"].values() for time in times)
    monkeypatch.setattr(product_choice, "measure", lambda: pytest.fail("measured again"))
    assert fresh() == first
    # What stands there decides, whatever it would be today.
    kept["microseconds"] = {rows: [1.0, 2.0] for rows in kept["microseconds"]}
    file.write_text(json.dumps(kept))
    assert fresh().onednn_from == min(product_choice.ROWS)


def test_of_two_processes_that_measure_at_once_the_first_decides(fresh, tmp_path, monkeypatch):
    wins, loses = {"256": [1.0, 2.0]}, {"256": [2.0, 1.0]}

    def slow_measurement():
        with monkeypatch.context() as other:
            other.setattr(product_choice, "measure", lambda: wins)
            assert fresh().onednn_from == 256
        return loses

    monkeypatch.setattr(product_choice, "measure", slow_measurement)
    assert fresh().onednn_from == 256


def test_a_cache_that_cannot_be_kept_or_read_means_torchs_own(fresh, tmp_path, monkeypatch):
    (tmp_path / "rllib_qatten").write_text("a file where the folder should be")
    assert fresh().onednn_from is None
    (tmp_path / "rllib_qatten").unlink()
    monkeypatch.setattr(product_choice, "measure", lambda: {"256": [1.0, 2.0]})
    assert fresh().onednn_from == 256
    (file,) = (tmp_path / "rllib_qatten" / "products").iterdir()
    file.write_text("half a fi")
    chosen = fresh()
    assert chosen.onednn_from is None
    assert str(file) in chosen.reason


def test_the_user_decides(fresh, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "onednn")
    assert fresh() == (ASKED_FOR, f"{VARIABLE}=onednn")
    monkeypatch.setenv(VARIABLE, "torch")
    assert fresh().onednn_from is None
    monkeypatch.setenv(VARIABLE, "mkl")
    with pytest.raises(ValueError, match=f"{VARIABLE}.*onednn"):
        fresh()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="needs Linux")
def test_generations_of_one_name_differ(monkeypatch, tmp_path):
    text = "model name : AMD EPYC\ncpu family : {}\nmodel : 17\nflags : avx2 {}\n"
    found = []
    for family, more in (25, "avx512f"), (26, "avx512f"), (25, ""):
        info = tmp_path / f"{family}{more}"
        info.write_text(text.format(family, more))
        monkeypatch.setattr(machine, "Path", lambda _, info=info: info)
        found.append(machine.processor())
    assert found[0] == "AMD EPYC (family 25, model 17, AVX-512)"
    assert found[2] == "AMD EPYC (family 25, model 17, AVX2)"
    assert len(set(found)) == 3


def test_a_measurement_leaves_torchs_threads_alone():
    code = (
        "import torch; from rllib_qatten.hardware.product_choice import measure; "
        "torch.set_num_threads(2); measure(); print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2"]
