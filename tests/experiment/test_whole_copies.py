"""What Tune copies to where results are kept."""

import errno
import shutil
from pathlib import Path

import pyarrow.fs
import pytest
from ray.train._internal import storage
from ray.tune.experiment import Trial

from rllib_qatten.experiment.curves import JSONCurves
from rllib_qatten.experiment.tuner import tuner
from rllib_qatten.experiment.whole_copies import MARKER, upload

DISK = pyarrow.fs.LocalFileSystem()


@pytest.fixture
def staged(tmp_path):
    """A folder with results, and where they go."""
    (tmp_path / "here" / "trial").mkdir(parents=True)
    (tmp_path / "here" / "state.json").write_text("new state")
    (tmp_path / "here" / "trial" / "result.json").write_text("two rows")
    (tmp_path / "there" / "trial").mkdir(parents=True)
    (tmp_path / "there" / MARKER).write_text("")
    (tmp_path / "there" / "state.json").write_text("old state")
    (tmp_path / "there" / "trial" / "checkpoint").write_text("of no concern")
    return tmp_path / "here", tmp_path / "there"


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MARKER)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_tune_copies_this_way():
    assert tuner  # its module puts it there
    assert storage._upload_to_fs_path is upload
    assert storage._VALIDATE_STORAGE_MARKER_FILENAME == MARKER


def test_copies_take_the_place_of_files(staged):
    here, there = staged
    before = (there / "state.json").open()
    upload(str(here), DISK, str(there))
    assert contents(there) == contents(here) | {"trial/checkpoint": "of no concern"}
    assert before.read() == "old state"  # another file, not the same one written over
    (here / "state.json").write_text("newer state")
    upload(str(here / "state.json"), DISK, str(there / "state.json"))  # a single file
    assert (there / "state.json").read_text() == "newer state"
    upload(str(here), DISK, str(there / "deep" / "down"), exclude=["*.json"])  # Tune's own way
    assert contents(there / "deep" / "down") == {}


def test_a_folder_that_is_gone_is_not_made_anew(staged):
    """It may only be unmounted, and would lie hidden below."""
    here, there = staged
    shutil.rmtree(there)
    for target in (there, there / "trial"):
        with pytest.raises(FileNotFoundError) as failed:
            upload(str(here), DISK, str(target))
        assert failed.value.filename == str(target)
    assert not there.exists()


def test_a_copy_that_fails_leaves_what_was_there(staged, monkeypatch):
    here, there = staged

    def full(source, target):
        Path(target).write_text("new st")
        raise OSError(errno.ENOSPC, "No space left on device", str(source))

    monkeypatch.setattr(shutil, "copyfile", full)
    before = contents(there)
    with pytest.raises(OSError, match="No space left") as failed:
        upload(str(here / "state.json"), DISK, str(there / "state.json"))
    assert failed.value.filename == str(there / "state.json")
    assert contents(there) == before


def test_a_file_that_goes_meanwhile_is_no_failure(staged, monkeypatch):
    here, there = staged
    copyfile = shutil.copyfile

    def renamed(source, target):
        if Path(source).name == "state.json":
            Path(source).unlink()
        copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", renamed)
    upload(str(here), DISK, str(there))
    assert contents(there)["state.json"] == "old state"
    assert contents(there)["trial/result.json"] == "two rows"


def test_a_row_that_was_copied_in_part_goes(tmp_path, monkeypatch):
    """The next one would be written on its line."""
    kept = storage.StorageContext(str(tmp_path / "kept"), "game", trial_dir_name="trial")
    trial = Trial("QMIX", stub=True, storage=kept)
    monkeypatch.setattr(Trial, "local_path", str(tmp_path / "here"))
    monkeypatch.setattr(Trial, "checkpoint", True)  # without one, a trial begins anew
    (tmp_path / "here").mkdir()
    (tmp_path / "kept" / "game" / "trial").mkdir()
    (tmp_path / "kept" / "game" / "trial" / "result.json").write_text('{"a": 1}\n{"a": 2}\n{"a"')
    JSONCurves()._restore_from_remote("result.json", trial)
    assert (tmp_path / "here" / "result.json").read_text() == '{"a": 1}\n{"a": 2}\n'
