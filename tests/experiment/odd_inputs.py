"""What becomes of odd experiment files and arguments of `rllib train`; see `odd_cases`.

`python -m tests.experiment.odd_inputs --cases 10000 --seed 1` counts them; Ray never starts.
"""

import argparse
import collections
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from typer.testing import CliRunner

from tests.experiment.odd_cases import Odd

#: Seconds that a case may take.
LIMIT = 20
#: What Python says of a mistake of its own, and no user should have to read.
RAW = re.compile(
    r"NoneType|unsupported operand|not supported between|has no attribute|object is not|"
    r"not iterable|unhashable|unexpected keyword|positional argument|not subscriptable|"
    r"object has|invalid literal|could not convert|cannot unpack|not enough values|"
    r"out of range|embedded null|codec can't|recursion|(Key|Type|Attribute|Index|Name|Assertion|"
    r"Overflow|Memory|Runtime|Unicode\w*|Zero\w+|Recursion)Error|pydantic|validation error"
)


class _TooLongError(BaseException):
    """Goes through every `except Exception`."""


def _alarm(signum, frame):
    raise _TooLongError


def outcome(arguments, content):
    """What becomes of a case in the current folder: (kind, seconds, what was said)."""
    from rllib_qatten.__main__ import app

    Path("exp.yaml").write_bytes(content)
    signal.signal(signal.SIGALRM, _alarm)
    signal.alarm(LIMIT)
    began = time.monotonic()
    try:
        result = CliRunner().invoke(app, arguments)
    except _TooLongError:
        return "never ended", LIMIT, ""
    finally:
        signal.alarm(0)
    seconds, said = time.monotonic() - began, result.output
    if isinstance(result.exception, _TooLongError):
        return "never ended", seconds, said
    if result.exception and not isinstance(result.exception, SystemExit):
        return "traceback", seconds, repr(result.exception)[:300]
    if result.exit_code == 0:
        return "accepted", seconds, said
    if result.exit_code != 2 or ("Error" not in said and "Usage" not in said):
        return f"exit code {result.exit_code}", seconds, said
    if "Traceback" in said:
        return "traceback", seconds, said
    # What an env of a user's raises is told in its own words.
    if found := RAW.search(said.partition(" raised ")[0]):
        return "raw words", seconds, f"({found[0]}) {said[-300:]}"
    if len(said) > 1200:
        return "long", seconds, said
    return "refused", seconds, said


def run(seed, cases, folder, tell=lambda kind, arguments, content, said: None):
    """Runs cases in a folder of their own; counts by kind, and all files that are left there."""
    odd = Odd(seed)
    before = os.getcwd()
    os.chdir(folder)
    os.mkfifo("fifo")
    Path("locked").touch(mode=0)
    counts = collections.Counter()
    try:
        with (
            mock.patch.dict(os.environ, {"HOME": str(folder), "WANDB_MODE": "offline"}),
            mock.patch("rllib_qatten.experiment.launch.train", return_value=0),
        ):
            for _ in range(cases):
                arguments, content = odd.case()
                kind, seconds, said = outcome(arguments, content)
                counts[kind] += 1
                counts["slowest"] = max(counts["slowest"], seconds)
                tell(kind, arguments, content, said)
    finally:
        os.chdir(before)
    # Hidden ones are the caches of what was imported.
    left = sorted(path.name for path in Path(folder).iterdir() if path.name[0] != ".")
    return counts, left


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--show", nargs="*", default=["traceback", "raw words", "never ended", "long"]
    )
    chosen = parser.parse_args()

    def tell(kind, arguments, content, said):
        if kind in chosen.show or kind.startswith("exit"):
            words = [word[:60] for word in arguments]
            print(f"{kind}: {words!r}\n  {content[:900]!r}\n  -> {said[-400:]}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        counts, left = run(chosen.seed, chosen.cases, Path(folder), tell)
    print(dict(counts), left, file=sys.stderr)


if __name__ == "__main__":
    main()
