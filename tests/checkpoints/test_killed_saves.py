"""Processes that are killed while they save over an earlier checkpoint."""

import json
import os
import random
import select
import signal
import sys
import time

import pytest
from ray.rllib.algorithms.algorithm import Algorithm

from rllib_qatten.checkpoints import folder as checkpoint

FILES = "state.pkl", "learner/weights.pkl", "replay.zip"
#: Auditing events between which nothing changes on disk.
HARMLESS = ("object.", "marshal.", "import", "compile", "exec", "sys.", "gc.", "code.", "glob.")


def save(path, generation):
    """A checkpoint whose files all name their generation."""
    with checkpoint.replacing(path, None) as folder:
        (folder / "learner").mkdir()
        for file in FILES:
            (folder / file).write_text(str(generation))
        about = folder / Algorithm.METADATA_FILE_NAME
        about.write_text(json.dumps(checkpoint.metadata("VDN")))


def read(path):
    """The generation of a checkpoint, which must be whole."""
    checkpoint.verify_sums(path)
    assert (path / "notes.txt").read_text() == "mine"
    assert (path / "plots" / "curve.svg").read_text() == "mine too"
    [generation] = {(path / file).read_text() for file in FILES}
    return int(generation)


def forked(work):
    """Runs `work` in a process that ends with it; returns the process."""
    if child := os.fork():
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        os._exit(1)


def killed(process):
    """Whether a process was killed; what it saved was saved without an error."""
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def killed_at(count):
    """Within this process, SIGKILL comes just before its so many-th change to a file system."""
    left = count

    def hook(event, arguments):
        nonlocal left
        if not event.startswith(HARMLESS):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


@pytest.fixture
def earlier(tmp_path):
    """A checkpoint in which a user keeps files of their own."""
    path = tmp_path / "checkpoint"
    save(path, 0)
    (path / "notes.txt").write_text("mine")
    (path / "plots").mkdir()
    (path / "plots" / "curve.svg").write_text("mine too")
    return path


def test_killed_at_any_point_one_of_the_two_is_there(earlier):
    generations, count = [], 0
    while True:
        count += 1
        before = read(earlier)

        def work():
            killed_at(count)  # noqa: B023 - called at once
            save(earlier, before + 1)  # noqa: B023 - called at once

        if not killed(forked(work)):
            break
        generations.append(read(earlier) - before)
        assert len(list(earlier.parent.iterdir())) <= 2  # what this one left, and none before it
    assert {0, 1} == set(generations)
    assert count > 30
    assert list(earlier.parent.iterdir()) == [earlier]


@pytest.mark.slow
def test_without_a_swap_of_folders_nothing_is_lost_either(earlier, monkeypatch):
    monkeypatch.setattr(checkpoint, "exchange", lambda one, other: False)
    missing, count = 0, 0
    while True:
        count += 1

        def work():
            killed_at(count)  # noqa: B023 - called at once
            save(earlier, count)  # noqa: B023 - called at once

        if not killed(forked(work)):
            break
        missing += not earlier.exists()
        where = earlier if earlier.exists() else earlier.with_name(".replaced_checkpoint")
        assert read(where) in (0, count - 1, count)
    assert missing  # the kill in between was tried
    assert read(earlier) == count
    assert list(earlier.parent.iterdir()) == [earlier]


def test_a_folder_in_use_is_no_leftover(tmp_path):
    ready, done = os.pipe(), os.pipe()

    def work():
        with checkpoint.replacing(tmp_path / "slow", None) as folder:
            (folder / "state.pkl").write_text("1")
            os.write(ready[1], b"x")
            os.read(done[0], 1)

    process = forked(work)
    os.read(ready[0], 1)
    save(tmp_path / "fast", 1)
    os.write(done[1], b"x")
    assert not killed(process)
    for name in ("slow", "fast"):
        checkpoint.verify_sums(tmp_path / name)


@pytest.mark.slow
def test_hundreds_of_kills_at_random_times(earlier):
    def work():
        generation = read(earlier)
        while True:
            generation += 1
            save(earlier, generation)
            os.write(saved[1], b"x")

    began = time.monotonic()
    for last in range(10):
        save(earlier, last)
    one = (time.monotonic() - began) / 10
    left = 0  # kills that left what the last whole save wrote
    for _ in range(400):
        saved = os.pipe()
        process = forked(work)
        os.close(saved[1])  # so that a read ends if the process does
        whole = last
        for _ in range(random.randrange(3)):
            if select.select([saved[0]], [], [], 20)[0]:  # a fork of threads may hang
                whole += len(os.read(saved[0], 1))
        time.sleep(random.uniform(0, 2 * one))
        os.kill(process, signal.SIGKILL)
        assert killed(process)
        whole += len(os.read(saved[0], 4096))
        os.close(saved[0])
        last = read(earlier)
        assert last in (whole, whole + 1)  # the save that was killed may have been done
        left += last == whole
    save(earlier, last)
    assert last > 100
    assert left > 20
    assert list(earlier.parent.iterdir()) == [earlier]
