"""What a user may give for a checkpoint, and which one of a run's is taken."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pyarrow.fs
import pytest
from ray.tune import Checkpoint

from rllib_qatten import TeamPolicy
from rllib_qatten.checkpoints.location import checkpoint_of, find, local
from rllib_qatten.errors import BadInput
from tests.evaluation.teams import write_team


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with a checkpoint in it, in a folder whose name is not plain."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_team(tmp_path / "sp ace é ü 例" / "ck pt")
    return tmp_path


def test_every_form_means_the_same_folder(home):
    folder = home / "sp ace é ü 例" / "ck pt"
    uri = folder.as_uri()
    assert "%20" in uri
    remote = SimpleNamespace(
        path="bucket/x", filesystem=pyarrow.fs.SubTreeFileSystem("x", pyarrow.fs.LocalFileSystem())
    )
    for given in (
        str(folder), folder, f"{folder}/", folder / "team_policy", "sp ace é ü 例/ck pt",
        "~/sp ace é ü 例/ck pt", Path("~/sp ace é ü 例/ck pt"), uri, f"file://localhost{folder}",
        f"file://{folder}", f"file:{folder}", Path(uri), Checkpoint(str(folder)),
        SimpleNamespace(checkpoint=Checkpoint(str(folder))), os.fspath(folder),
    ):  # fmt: skip
        assert checkpoint_of(find(given)).resolve() == folder, given
        assert TeamPolicy.from_checkpoint(given).agents == ("unit_0", "unit_1")
    for given, message in (
        (None, "expected the folder of a checkpoint, got None"),
        (7, "expected the folder of a checkpoint, got 7"),
        (SimpleNamespace(checkpoint=None), "got None"),
        ("s3://bucket/run", "on another machine: copy the checkpoint"),
        ("file://elsewhere/run", "on another machine"),
        (remote, "on another machine: give what its to_directory"),
        ("nothing\0here", "no such folder"),
        ("x" * 5000, "no such folder"),
        ("~nobody_of_this_name/run", "~nobody_of_this_name"),
    ):
        with pytest.raises(BadInput, match=message):
            find(given)
    assert local("~") == home


def write_trial(folder, scores, lines=()):
    """A trial with a checkpoint an iteration; a score is greedy win rate and return, or None."""
    rows = list(lines)
    for i, score in enumerate(scores):
        name = f"checkpoint_{i:06}"
        mark = write_team(folder / name) / "team_policy" / "policy.json"
        os.utime(mark, (i, i))
        row = {"checkpoint_dir_name": name, "training_iteration": i}
        if score:
            greedy = dict(zip(("win_rate", "episode_return_mean"), score, strict=True))
            row["evaluation"] = {"env_runners": greedy}
        rows.append(json.dumps(row))
    (folder / "result.json").write_text("\n".join(rows))
    return folder


def test_the_best_of_a_trial_and_of_a_run(tmp_path, capsys):
    run = tmp_path / "store" / "run"
    write_trial(run / "a", [(0.2, 9), (0.7, 1), (0.7, 3), (0.1, 4)])
    assert find(run / "a") == run / "a" / "checkpoint_000002" / "team_policy"
    said = capsys.readouterr().err
    assert "holds 4 checkpoints; using" in said
    assert "checkpoint_000002: win rate 0.7 in evaluation, the best." in said
    # Without winners the return counts, and an iteration without an evaluation has the last one.
    write_trial(run / "b", [(float("nan"), 3), None], ["[1", "[]", '{"evaluation": 3}', "{}"])
    assert find(run / "b").parent.name == "checkpoint_000001"
    assert "return 3 in evaluation, the best" in capsys.readouterr().err
    assert find(run).parts[-3:-1] == ("a", "checkpoint_000002")
    assert find(write_trial(tmp_path / "c", [None, None])).parent.name == "checkpoint_000001"
    assert "the newest" in capsys.readouterr().err
    (tmp_path / "c" / "result.json").unlink()
    (tmp_path / "c" / "result.json").symlink_to("/dev/zero")
    assert find(tmp_path / "c").parent.name == "checkpoint_000001"
    find(run / "a" / "checkpoint_000000")
    assert "the newest" in capsys.readouterr().err
    with pytest.raises(BadInput, match="Did you mean"):
        find(tmp_path / "store")


def test_a_checkpoint_at_the_end_has_the_last_score(tmp_path, capsys):
    """Tune saves it after the last result, which so cannot name it."""
    trial = write_trial(tmp_path / "a", [(0.2, 9)])
    write_team(trial / "checkpoint_000001")
    row = {"evaluation": {"env_runners": {"win_rate": 0.7}}}
    with (trial / "result.json").open("a") as results:
        results.write("\n" + json.dumps(row))
    assert find(trial).parent.name == "checkpoint_000001"
    assert "win rate 0.7 in evaluation, the best" in capsys.readouterr().err
