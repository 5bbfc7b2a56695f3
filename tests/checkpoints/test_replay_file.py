import json
import zipfile
from dataclasses import replace

import numpy as np
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
    again = read_episodes(tmp_path / "replay.zip", spec)
    assert len(again) == len(episodes)
    for ours, theirs in zip(episodes, again, strict=True):
        for name in ours.__slots__:
            a, b = getattr(ours, name), getattr(theirs, name)
            assert type(a) is type(b)
            assert np.array_equal(a, b)
            assert not isinstance(a, np.ndarray) or (a.dtype == b.dtype and b.flags.owndata)
    write_episodes(tmp_path / "none.zip", [], spec)
    assert read_episodes(tmp_path / "none.zip", spec) == []


@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.999])
def test_damage_is_found_wherever_it_is(recorded, tmp_path, where):
    spec, episodes = recorded
    file = tmp_path / "replay.zip"
    write_episodes(file, episodes, spec)
    data = file.read_bytes()
    file.write_bytes(data[: int(where * len(data))])
    with pytest.raises(ValueError, match=r"replay.zip"):
        read_episodes(file, spec)


def test_another_teams_episodes_and_formats_are_refused(recorded, tmp_path):
    spec, episodes = recorded
    file = tmp_path / "replay.zip"
    write_episodes(file, episodes, spec)
    with pytest.raises(ValueError, match="another team's episodes: state is"):
        read_episodes(file, replace(spec, state_size=99))
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("header.json", json.dumps({"format": 99}))
    with pytest.raises(ValueError, match="it has format 99, and this version reads 1"):
        read_episodes(file, spec)
