"""One game's process as its env runner sees it, see `sc2_game`."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("sc2_game.py")
#: Seconds until what a killed game leaves is cleared away.
CLEARING = 20.0
#: StarCraft II's messages were compiled by an old protoc, which protobuf 4 and later take only in
#: pure Python. It has to be said before protobuf is imported, which `import ray` does: so here, for
#: the game's process only.
ENVIRONMENT = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}


#: What would send a game's client through a proxy: it talks to loopback, and nothing else does.
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy")


class Lost(str):
    """Instead of an answer: why there is none."""


class Refused(Lost):
    """Why there is no answer, and will be none however often it is tried."""


def environment() -> dict[str, str]:
    """The environment variables of a game's process."""
    own = {name: value for name, value in os.environ.items() if name.lower() not in PROXIES}
    return own | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(sys.path)}


class GameProcess:
    """A process with one game, which dies with this object's process."""

    def __init__(self) -> None:
        """Starts the process and not yet the game, and waits for neither."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                # -P: beside the program lies a smac.py, which is not the package.
                [sys.executable, "-P", str(PROGRAM), str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env=environment(),
            )
        self.connection = Connection(ours.detach())

    def send(self, method: str, *arguments: Any) -> None:
        """Asks for something, see `sc2_game.play`; that the process is gone shows in its answer."""
        with contextlib.suppress(OSError):
            self.connection.send((method, *arguments))

    def receive(self) -> Any:
        """The answer to the oldest request, or `Lost`."""
        self._process.poll()
        try:
            kind, answer = self.connection.recv()
        except (EOFError, OSError):
            return Lost("its process ended")
        return answer if kind == "ok" else Refused(answer) if kind == "refused" else Lost(answer)

    def close(self) -> str:
        """Ends process and game and waits until nothing is left of them.

        Returns:
            The last lines that they printed.
        """
        output = self._process.stdout
        if self.connection.closed or output is None or self._process.stdin is None:
            return ""
        self.connection.close()
        self._process.stdin.close()
        words, end = b"", time.monotonic() + CLEARING
        while wait([output.fileno()], max(0, end - time.monotonic())):
            part = os.read(output.fileno(), 4096)
            if not part:
                break
            words += part
        output.close()
        self._process.wait()
        return words.decode(errors="replace").strip()


def answers(processes: dict[int, GameProcess], timeout: float) -> Iterator[tuple[int, Any]]:
    """The processes' answers as they come, each with its key; `Lost` after the timeout.

    Args:
        processes: Those that were asked something.
        timeout: Seconds.
    """
    waiting: dict[Any, int] = {process.connection: g for g, process in processes.items()}
    end = time.monotonic() + timeout
    while waiting:
        ready = wait(list(waiting), max(0, end - time.monotonic()))
        if not ready:
            yield from ((g, Lost(f"no answer within {timeout:g} s")) for g in waiting.values())
            return
        for connection in ready:
            g = waiting.pop(connection)
            yield g, processes[g].receive()


def ask(process: GameProcess, timeout: float, method: str, *arguments: Any) -> Any:
    """One process's answer; see `answers`."""
    process.send(method, *arguments)
    ((_, answer),) = answers({0: process}, timeout)
    return answer
