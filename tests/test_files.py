"""Files that are written whole or not at all, and nothing else in their place."""

import os

import pytest

from rllib_qatten.errors import BadInput
from rllib_qatten.files import cache_folder, replacing


def write(path, text="new"):
    with replacing(path) as file:
        file.write_text(text)


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old")
    link.symlink_to(file.name)
    write(link)
    assert link.is_symlink()
    assert file.read_text() == "new"


def test_a_file_keeps_its_mode_and_a_new_one_has_the_usual(tmp_path):
    private, new = tmp_path / "private", tmp_path / "new"
    private.touch(0o600)
    before = os.umask(0o027)
    try:
        write(private)
        write(new)
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (private, new)] == [0o600, 0o640]


def test_a_device_or_a_pipe_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(BadInput, match="pipe: cannot be written: it is a device or a pipe"):
        write(pipe)
    assert pipe.is_fifo()
    assert [*tmp_path.iterdir()] == [pipe]


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # raises a KeyError, as for an unknown user
    with pytest.raises(OSError, match="Not a directory"):
        cache_folder().mkdir(parents=True)
