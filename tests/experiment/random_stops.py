"""Runs that are told to stop at random times and restored, beside one that never stops.

`python -m tests.experiment.random_stops FILE [--set KEY=VALUE ...] --stop KEY=VALUE` says of the
first experiment of a file whether both end with the same numbers; bit by bit, in every iteration.
"""

import argparse
import contextlib
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from tests.checkpoints.resuming import numbers
from tests.experiment.runs import Run, results, trained

#: Iterations at most between two stops, and seconds at most of a moment within one.
FAR, WITHIN = 3, 2.0
#: Seconds in which a run starts.
START = 15.0


def differences(rows, others):
    """Iteration and key of every number that differs between two runs, but for the clock."""
    one = {row["training_iteration"]: numbers(row) for row in rows}
    other = {row["training_iteration"]: numbers(row) for row in others}
    return [
        (iteration, key)
        for iteration in one.keys() | other.keys()
        for key in one.get(iteration, {}).keys() | other.get(iteration, {}).keys()
        # `is`: all that JSON reads as not a number is one object.
        if (old := one.get(iteration, {}).get(key)) != (new := other.get(iteration, {}).get(key))
        and old is not new
    ]


def begun(folder):
    """The word that continues a run, if it had begun."""
    return ["--restore"] if list(folder.glob("out/game/experiment_state-*.json")) else []


def stopped_at_random(folder, experiment, times, draw, *words, signum=signal.SIGTERM):
    """Stops and restores a run some times, then lets it end: exit codes, and all results.

    A moment is in the middle of the start, or of one of the next iterations.
    """
    codes = []
    for _ in range(times):
        with Run(folder, experiment, *words, *begun(folder)) as run:
            lines = draw.randint(0, FAR)
            while run.process.poll() is None and run.lines() < lines:
                time.sleep(0.02)
            moment = draw.uniform(0, WITHIN if lines else START)
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.process.wait(moment)
            run.process.send_signal(signum)
            codes.append(run.end(120))
            # Before it took the signal over from Python, that is death without a word.
            assert codes[-1] in (0, 128 + signum, -signum), run.errors
            assert "Traceback" not in run.errors, run.errors
            print(f"after {lines} iterations and {moment:.2f} s: {codes[-1]}", flush=True)
    return codes, trained(folder, experiment, *words, *begun(folder))


def weights(folder):
    """The digest of the last checkpoint's team."""
    *_, last = sorted(folder.glob("out/game/*/checkpoint_*/team_policy/policy.safetensors"))
    return hashlib.sha256(last.read_bytes()).hexdigest()


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("file", type=Path)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keeps the run that never stops for the next")
    chosen, words = parser.parse_known_args()
    experiment = next(iter(yaml.safe_load(chosen.file.read_text()).values()))
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        straight, broken = folder / "straight", folder / f"stopped_{chosen.seed}"
        broken.mkdir(parents=True)
        if not straight.exists():
            straight.mkdir()
            trained(straight, experiment, *words)
        draw = random.Random(chosen.seed)
        codes, found = stopped_at_random(broken, experiment, chosen.times, draw, *words)
        differ = differences(found, results(straight))
        alike = weights(straight) == weights(broken)
    print(f"{codes}; {len(found)} iterations, differences: {differ}; equal weights: {alike}")
    sys.exit(bool(differ) or not alike)


if __name__ == "__main__":
    main()
