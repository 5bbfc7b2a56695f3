import json
import time
import weakref
import zipfile
from dataclasses import replace

import numpy as np
import pyarrow
import pytest

from rllib_qatten.checkpoints import replay_file
from rllib_qatten.checkpoints.replay_file import read_episodes, write_episodes
from tests.rollout.test_episode import record


@pytest.fixture(scope="module")
def recorded():
    """A spec and 60 episodes of several lengths: more than a block."""
    return record([{"lengths": [1, 2, 30], "wins": [True, False]}], 700)


def test_what_is_written_is_read_to_the_bit(recorded, tmp_path):
    spec, episodes = recorded
    assert len(episodes) > replay_file.BLOCK
    write_episodes(tmp_path / "replay.zip", episodes, spec)
    again = list(read_episodes(tmp_path / "replay.zip", spec))
    assert len(again) == len(episodes)
    for ours, theirs in zip(episodes, again, strict=True):
        for name in ours.__slots__:
            a, b = getattr(ours, name), getattr(theirs, name)
            assert type(a) is type(b)
            assert np.array_equal(a, b)
            assert not isinstance(a, np.ndarray) or a.dtype == b.dtype
    write_episodes(tmp_path / "none.zip", [], spec)
    assert list(read_episodes(tmp_path / "none.zip", spec)) == []


def test_a_replay_is_never_held_twice(recorded, tmp_path):
    """While it is read, no more than a block of episodes is in memory."""
    spec, episodes = recorded
    write_episodes(tmp_path / "replay.zip", episodes * 10, spec)
    read, most = [], 0
    for episode in read_episodes(tmp_path / "replay.zip", spec):
        read.append(weakref.ref(episode.rewards))
        most = max(most, sum(array() is not None for array in read))
    assert len(episodes) * 10 > 4 * replay_file.BLOCK
    assert most <= 2 * replay_file.BLOCK


@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.999])
def test_damage_is_found_wherever_it_is(recorded, tmp_path, where):
    spec, episodes = recorded
    file = tmp_path / "replay.zip"
    write_episodes(file, episodes, spec)
    data = file.read_bytes()
    file.write_bytes(data[: int(where * len(data))])
    with pytest.raises(ValueError, match=r"replay.zip"):
        list(read_episodes(file, spec))


def test_another_teams_episodes_and_formats_are_refused(recorded, tmp_path):
    spec, episodes = recorded
    file = tmp_path / "replay.zip"
    write_episodes(file, episodes, spec)
    with pytest.raises(ValueError, match="another team's episodes: state is"):
        list(read_episodes(file, replace(spec, state_size=99)))
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("header.json", json.dumps({"format": 99}))
    with pytest.raises(ValueError, match="it has format 99, and this version reads 1"):
        list(read_episodes(file, spec))


def rewritten(source, target, change, compression=zipfile.ZIP_STORED):
    """A copy of a replay file whose members {name: content} somebody changed."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(members["header.json"])
    change(header, members)
    members["header.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


ZSTD = pyarrow.Codec("zstd")
HOSTILE = {
    "2,000,000 episodes": (
        lambda h, m: h.update(steps=[1] * 2_000_000, terminated=[], won=[]),
        "2,000,000 episodes; at most 1,000,000",
    ),
    "more than the machine holds": (
        lambda h, m: h["steps"].__setitem__(0, 10**14), r"has episodes of [\d,.]+ GB; this machine"
    ),
    "a number without end": (lambda h, m: h["steps"].__setitem__(0, 10**400), "too large"),
    "sums beyond 64 bits": (
        lambda h, m: h.update(steps=[2**62] * len(h["steps"])), "this machine has"
    ),
    "a large block": (
        lambda h, m: h["steps"].__setitem__(0, 2**30), "bytes in a block|this machine has"
    ),
    "a negative length": (lambda h, m: h["steps"].__setitem__(0, -3), "positive number of steps"),
    "a truth for a length": (lambda h, m: h["steps"].__setitem__(0, True), "positive number"),
    "a word for an outcome": (lambda h, m: h["won"].__setitem__(0, "yes"), "neither true nor"),
    "a list too short": (lambda h, m: h["terminated"].pop(), "shorter"),
    "blocks of nothing": (lambda h, m: h.update(block=0), "a block of 0 episodes"),
    "no list": (lambda h, m: h.update(steps=7), "damaged or not a file of episodes"),
    "no arrays": (lambda h, m: h.update(arrays=[1]), "damaged or not a file of episodes"),
    "longer than said": (lambda h, m: h.update(steps=[1] * len(h["steps"])), "damaged"),
    "shorter than said": (
        lambda h, m: m.update({"0/rewards.zst": ZSTD.compress(b"0", asbytes=True)}),
        "damaged",
    ),
    "no compression": (lambda h, m: m.update({"0/rewards.zst": b"x" * 99}), "damaged"),
    "a member missing": (lambda h, m: m.pop("0/rewards.zst"), "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_made_up_file_costs_a_message(recorded, tmp_path, kind):
    spec, episodes = recorded
    file, made_up = tmp_path / "replay.zip", tmp_path / "hostile.zip"
    write_episodes(file, episodes, spec)
    change, says = HOSTILE[kind]
    rewritten(file, made_up, change)
    began = time.monotonic()
    with pytest.raises(ValueError, match=rf"hostile.zip.*({says})"):
        list(read_episodes(made_up, spec))
    assert time.monotonic() - began < 10


def test_bombs_of_zip_are_not_opened(recorded, tmp_path):
    spec, episodes = recorded
    file = tmp_path / "replay.zip"
    write_episodes(file, episodes, spec)
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        rewritten(file, tmp_path / "bomb.zip", lambda h, m: None, compression)
        with pytest.raises(ValueError, match=r"header.json is compressed by ZIP"):
            list(read_episodes(tmp_path / "bomb.zip", spec))


def test_any_byte_may_be_any_other(recorded, tmp_path):
    """Read or refused, never another error."""
    spec, episodes = recorded
    file = tmp_path / "replay.zip"
    write_episodes(file, episodes[:5], spec)
    data, draws = file.read_bytes(), np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        changed = bytearray(data)
        for at in draws.integers(len(data), size=draws.integers(1, 20)):
            changed[at] = draws.integers(256)
        file.write_bytes(changed)
        try:
            list(read_episodes(file, spec))
        except ValueError:
            refused += 1
    assert refused > 200
