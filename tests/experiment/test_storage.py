"""Runs from which disk, folders, Ray or memory are taken away: one message, and nothing lost."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest
import yaml

from rllib_qatten.checkpoints.folder import verify
from tests.experiment.runs import GAME, Run, changed, left_in

FOREVER = GAME | {"stop": {"training_iteration": 9999}, "checkpoint_config": {
    "checkpoint_frequency": 1, "num_to_keep": None}}  # fmt: skip
RAW = "Traceback (", "Aborted", "unknown error", 'File "', "*** SIG", "core dumped", "  @ "


def shown(run):
    """What a user reads on standard error, which has nothing raw in it."""
    print(run.errors)
    for raw in RAW:
        assert raw not in run.errors
    assert len(re.findall("^Error: ", run.errors, re.MULTILINE)) <= 1
    return run.errors


@pytest.fixture
def small_disk():
    """A file system of its own; only root can make one."""
    place = Path(tempfile.mkdtemp(prefix="d", dir="/tmp"))  # short, for sockets
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "disk", str(place)])
    if mounted.returncode:
        place.rmdir()
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
    place.rmdir()


def refused(folder, **environment):
    """The message of a run that cannot start; it leaves nothing."""
    (folder / "exp.yaml").write_text(yaml.safe_dump({"game": GAME}))
    command = [sys.executable, "-m", "rllib_qatten", "train", "-f", "exp.yaml"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])} | environment
    done = subprocess.run(
        [*command, "--storage-path", str(folder / "out")],
        capture_output=True, text=True, cwd=folder, timeout=120, env=os.environ | environment,
    )  # fmt: skip
    print(done.stderr)
    assert done.returncode == 2
    began, line = done.stderr.splitlines()
    assert began.endswith(" ...")
    assert line.startswith("Error: ")
    assert not (folder / "out").exists()
    return line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("garbage", "that is not an address; expected HOST:PORT, or auto"),
        ("localhost:http", "that is not an address"),
        ("127.0.0.1:99999", "that is not an address"),
        ("ray://127.0.0.1:10001", "that is not an address"),
        ("127.0.0.1:1", "Connection refused"),
        ("no.such.host.invalid:6379", "ame or service not known"),
        ("auto", ""),
    ],
)
def test_an_address_of_no_cluster(tmp_path, address, why):
    if address == "auto" and "gcs_server" in {each.name() for each in psutil.process_iter()}:
        pytest.skip("a Ray runs on this machine, such as other tests', and auto finds it")
    line = refused(tmp_path, RAY_ADDRESS=address)
    assert line.startswith(f"Error: no Ray cluster at RAY_ADDRESS={address}: ")
    assert why in line


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_an_address_where_something_else_listens(tmp_path):
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    refused(tmp_path, RAY_ADDRESS=f"127.0.0.1:{server.server_port}")
    server.shutdown()


@pytest.mark.slow
def test_no_place_for_rays_files(tmp_path, small_disk):
    (small_disk / "full").write_bytes(bytes(8 * 2**20 - 8192))
    line = refused(tmp_path, RAY_TMPDIR=str(small_disk))
    assert f"{small_disk} has " in line
    long = tmp_path / ("long" * 30)
    long.mkdir()
    assert "too many for sockets" in refused(tmp_path, RAY_TMPDIR=str(long))
    assert "nowhere cannot be written" in refused(tmp_path, RAY_TMPDIR="/nowhere")


@pytest.mark.slow
def test_a_long_or_full_temporary_folder_and_no_home_are_no_hindrance(tmp_path, small_disk):
    (small_disk / "full").write_bytes(bytes(8 * 2**20 - 8192))
    once = changed() | {"stop": {"training_iteration": 1}}
    with Run(tmp_path, once, TMPDIR=str(small_disk), HOME="/proc/nobody") as run:
        assert run.end() == 0, run.errors
    assert not left_in(small_disk)


def checkpoints(folder):
    """Those that are whole, by their names."""
    found = []
    for path in sorted(folder.rglob("checkpoint_*")):
        with contextlib.suppress(ValueError):
            verify(path, "QMIX")
            found.append(path.name)
    return found


@pytest.mark.slow
def test_a_disk_that_fills_up(tmp_path, small_disk):
    with Run(tmp_path, FOREVER, "--storage-path", str(small_disk)) as run:
        assert run.end(120) in (1, 2)
        assert "No space left on device" in shown(run)
        assert str(small_disk) in run.errors
        assert checkpoints(small_disk)


@pytest.mark.slow
def test_a_results_folder_that_goes_while_it_trains(tmp_path):
    results, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    with Run(tmp_path, FOREVER, "--storage-path", str(results)) as run:
        run.wait_for(lambda: checkpoints(results))
        results.rename(elsewhere)
        assert run.end(120) == 1
    assert "Error: the results folder is gone (" in shown(run)
    assert ", which is not there now" in run.errors
    assert "once its results are where they were:" in run.errors
    assert not results.exists()
    elsewhere.rename(results)
    ends = FOREVER | {"stop": {"training_iteration": 1}}
    with Run(tmp_path, ends, "--storage-path", str(results), "--restore") as run:
        assert run.end(120) == 0, run.errors


@pytest.mark.slow
def test_a_disk_that_becomes_read_only(tmp_path, small_disk):
    with Run(tmp_path, FOREVER, "--storage-path", str(small_disk)) as run:
        run.wait_for(lambda: run.lines() >= 2)
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        assert run.end(120) in (1, 2)
        assert "Read-only file system" in shown(run)
        assert checkpoints(small_disk)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["gcs_server", "raylet", "ray::QMIX"])
def test_a_process_of_rays_is_killed(tmp_path, victim):
    with Run(tmp_path, FOREVER) as run:
        run.wait_for(lambda: run.lines() >= 3)
        children = psutil.Process(run.process.pid).children(recursive=True)
        [ground] = {child.environ()["RAY_TMPDIR"] for child in children[:1]}
        [process] = [c for c in children if c.name().startswith(victim)]
        process.send_signal(signal.SIGKILL)
        assert run.end(90) == 1
        errors = shown(run)
        assert "killed" in errors
        assert (
            re.search(r"^  rllib train .*--restore$", errors, re.MULTILINE) or "Last good" in errors
        )
        assert checkpoints(tmp_path)
        assert not Path(ground).exists()
    with Run(tmp_path, FOREVER | {"stop": {"training_iteration": 1}}, "--restore") as run:
        assert run.end() == 0, run.errors


WATCHES = """
import socket, threading
from rllib_qatten.experiment import ray_session
ray_session.EVERY = 0.05
server = socket.create_server(("127.0.0.1", 0))
address = "127.0.0.1:%d" % server.getsockname()[1]
ray_session._Watch(address, lambda why: 7, None).start()
server.close()
threading.Event().wait(60)
"""


def test_when_a_cluster_is_gone_no_folder_of_the_users_is_removed(tmp_path):
    place = tmp_path / "users"
    place.mkdir()
    environment = {"RAY_TMPDIR": str(place), "RAY_AUTH_TOKEN": "of the user's cluster"}
    command = [sys.executable, "-c", WATCHES]
    assert subprocess.run(command, env=os.environ | environment, timeout=60).returncode == 7
    assert place.exists()
