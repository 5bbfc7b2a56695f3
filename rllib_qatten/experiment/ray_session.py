"""Ray while experiments run: quiet, private, and shut down afterwards."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private.ray_logging import global_worker_stdstream_dispatcher

from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.process_environment import ADDRESS, cluster_address, silence
from rllib_qatten.experiment.stopping import StopRequest
from rllib_qatten.files import own_folder
from rllib_qatten.hardware import machine
from rllib_qatten.messages import PREFIX, said

EXTRA_CPUS = "A trial asks for {need:g} CPUs, but there are {have}: its processes share them."
#: Prefix of this user's temporary folders, one per run.
FOLDER = f"rllib{os.getuid() if hasattr(os, 'getuid') else ''}_"
#: What Ray appends to it for its longest socket, and the system's limit for the whole path.
SOCKET = "/ray/session_2000-01-01_00-00-00_000000_0000000/sockets/plasma_store"
LIMIT = 107 if sys.platform == "linux" else 103
#: Disk space for Ray's logs and a copy of the curves.
ROOM = 64 * 2**20
#: Seconds in which Ray's processes end once their raylet has.
LAST = 2.0
#: Seconds that a cluster may take to report its state.
ANSWER = 60
#: Seconds between two checks that Ray is alive, and how many failed ones mean that it isn't.
EVERY, MISSES = 2.0, 3


@contextlib.contextmanager
def ray_session(cpus: float, request: StopRequest, lost: Callable[[str], int]) -> Iterator[None]:
    """A Ray on this machine, or the cluster that RAY_ADDRESS names, that only logs to its files.

    Args:
        cpus: The least that a trial needs.
        request: Takes its signals back from Ray.
        lost: Called in another thread with the reason when Ray is gone; then this process ends
            with the exit code that it returns.

    Raises:
        BadInput: If Ray can be neither started nor reached.
    """
    with contextlib.ExitStack() as stack:
        options: dict[str, Any] = {"logging_level": logging.CRITICAL}
        folder = None
        if address := cluster_address():
            _reach(address)
        else:
            folder = stack.enter_context(_own_ground())
            # Otherwise Ray would join a cluster that happens to run here.
            options |= {"address": "local", "include_dashboard": False}
            options["num_cpus"] = _cpus(cpus)
        stack.callback(_shut_down)
        # Cut short, it would leave processes behind that nobody knows of.
        with request.deferring():
            _start(options, request)
        request.listen()
        silence()
        global_worker_stdstream_dispatcher.remove_handler("ray_print_logs")
        global_worker_stdstream_dispatcher.add_handler("ray_print_logs", _Relay())
        watch = _Watch(ray.get_runtime_context().gcs_address, lost, folder)
        watch.start()
        stack.callback(watch.end)
        stack.callback(request.ignore)
        yield


def _cpus(need: float) -> int:
    have = machine.cpus()
    if need > have:
        print(EXTRA_CPUS.format(need=need, have=have), file=sys.stderr)
    return math.ceil(max(have, need))


def _start(options: dict[str, Any], request: StopRequest) -> None:
    """Starts or joins Ray.

    Raises:
        BadInput: If that fails.
    """
    # Ray's processes inherit this: a closed terminal would signal them as well as this one.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    try:
        ray.init(**options)
    except SystemExit:  # what Ray, once it is up, turns a SIGTERM into
        request.listen()
        signal.raise_signal(signal.SIGTERM)
    except Exception as error:  # anything, down to bare `Exception`
        why = _first_line(error.__cause__ or error)
        if cluster_address():
            raise _no_cluster(why) from error
        raise BadInput(
            f"Ray could not be started on this machine: {why}. Its files were in "
            f"{os.environ.get('RAY_TMPDIR')}; check free memory, processes (ulimit -u) and disk "
            f"there. Nothing was changed.{_last_words()}"
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])


def _shut_down() -> None:
    """Ends Ray with all that its raylet has started.

    Its agents notice the end of a raylet that ended early only after a minute.
    """
    raylets = [child for child in psutil.Process().children() if child.name() == "raylet"]
    theirs = [process for raylet in raylets for process in raylet.children(recursive=True)]
    ray.shutdown()
    _, left = psutil.wait_procs(theirs, timeout=LAST)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _first_line(error: object) -> str:
    text = str(error).strip() or type(error).__name__
    return re.split(r"\n|  ", text)[0].rstrip(".")


def _last_words() -> str:
    """The last lines that Ray's processes printed, if any."""
    words = []
    for name in ("gcs_server", "raylet"):
        for file in Path(os.environ.get("RAY_TMPDIR", "")).glob(f"ray/session_2*/logs/{name}.err"):
            with contextlib.suppress(OSError):
                words += file.read_text(errors="replace").strip().splitlines()[-1:]
    return "".join(f"\n  {word}" for word in words)


@contextlib.contextmanager
def _own_ground() -> Iterator[Path]:
    """A private folder for everything that Ray's processes write, and a token only they know."""
    place = _place()
    with own_folder(place, FOLDER) as folder:
        changed = {"RAY_TMPDIR": str(folder)}
        own = tempfile.gettempdir()
        # A long name is a problem for sockets only.
        if place == Path(own) or shutil.disk_usage(own).free < ROOM:
            changed["TMPDIR"] = str(folder)
        if os.environ.get("RAY_AUTH_MODE", "token") == "token":
            # Otherwise Ray creates one in the user's home, in a file that everybody may read.
            changed["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        try:
            yield folder
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _place() -> Path:
    """Where temporary files go.

    Raises:
        BadInput: If no folder is suitable.
    """
    asked = os.environ.get("RAY_TMPDIR")
    try:
        places = [asked] if asked else [tempfile.gettempdir(), "/tmp"]
    except FileNotFoundError:
        places = ["/tmp"]
    longest = LIMIT - len(f"{SOCKET}/{FOLDER}01234567")
    faults = []
    for place in dict.fromkeys(places):
        if not os.access(place, os.W_OK | os.X_OK):
            faults.append(f"{place} cannot be written")
        elif len(place) > longest:
            faults.append(f"{place} has more than {longest} characters, too many for sockets")
        elif shutil.disk_usage(place).free < ROOM:
            faults.append(f"{place} has no {ROOM >> 20} MiB left")
        else:
            return Path(place)
    raise BadInput(
        f"Ray needs a folder for its logs and sockets: {'; '.join(faults)}. Make room, or name "
        "another folder with RAY_TMPDIR. Nothing was changed."
    )


def _reach(address: str) -> None:
    """Verifies that a Ray cluster answers at an address; Ray itself would try for minutes.

    Raises:
        BadInput: If none does.
    """
    if address != "auto":
        host, _, port = address.rpartition(":")
        if "://" in address or not (host and port.isdigit() and int(port) < 2**16):
            raise _no_cluster("that is not an address; expected HOST:PORT, or auto")
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise _no_cluster(error.strerror or error) from error
    # In a separate process, since Ray ends the one in which it fails.
    command = [sys.executable, "-m", "ray.scripts.scripts", "status"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER)
    except subprocess.TimeoutExpired as error:
        raise _no_cluster(f"Ray did not answer within {ANSWER} s") from error
    if asked.returncode:
        words = [line for line in asked.stderr.splitlines() if "Error" in line]
        why = words[-1].split(": ", 1)[-1] if words else "what listens there is not Ray"
        raise _no_cluster(why)


def _no_cluster(why: object) -> BadInput:
    return BadInput(
        f"no Ray cluster at {ADDRESS}={os.environ.get(ADDRESS)}: {str(why).rstrip('.')}. Start one "
        "with `ray start --head`, correct the address (a cluster with tokens also needs "
        "RAY_AUTH_MODE=token here), or unset it to train on this machine alone."
    )


class _Watch(threading.Thread):
    """Notices that Ray is gone before its libraries end this process silently.

    Args:
        address: Of Ray's server.
        lost: See `ray_session`.
        folder: What to remove then: the folder of this run's own Ray; None for a cluster's.
    """

    def __init__(self, address: str, lost: Callable[[str], int], folder: Path | None) -> None:
        super().__init__(daemon=True, name="watch over Ray")
        host, _, port = address.rpartition(":")
        self._server = host, int(port)
        self._lost, self._folder = lost, folder
        self._ended = threading.Event()
        children = psutil.Process().children()
        self._local = {c: c.name() for c in children if c.name() in ("gcs_server", "raylet")}

    def run(self) -> None:
        """Checks until the end of training or of Ray."""
        misses = 0
        while not self._ended.wait(EVERY):
            dead = [name for child, name in self._local.items() if not _lives(child)]
            try:
                socket.create_connection(self._server, timeout=10).close()
                misses = 0
            except OSError:
                misses += 1
            if dead or misses == MISSES:
                what = dead[0] if dead else "head node"
                self._give_up(f"Ray's {what} is gone: it was killed, or memory ran out")

    def _give_up(self, why: str) -> None:
        if self._ended.is_set():
            return
        code = self._lost(why)
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(code)

    def end(self) -> None:
        """Stops watching, before Ray is shut down."""
        self._ended.set()


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


class _Relay:
    """Passes on the lines of `say` from the workers' output, each line once, and once for all."""

    def __init__(self) -> None:
        self._seen = {PREFIX + text for text in said}

    def __call__(self, data: dict[str, Any]) -> None:
        for line in data["lines"]:
            text = line.removeprefix(PREFIX)
            if text != line and line not in self._seen:
                self._seen.add(line)
                print(text, file=sys.stderr, flush=True)
