"""Checkpoints that are damaged, do not fit, or cannot be written."""

import contextlib
import errno
import os
import resource
import shutil
from pathlib import Path

import pytest
from pyarrow.fs import LocalFileSystem
from ray import tune
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.train._internal.storage import StorageContext

from rllib_qatten import ALGORITHMS
from rllib_qatten.checkpoints import folder as checkpoint
from rllib_qatten.checkpoints.folder import CheckpointError
from tests.algorithms.tiny import TINY, assert_equal, build, weights
from tests.settings import those_of

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def saved(ray_session, tmp_path_factory):
    """A VDN that was trained, and its checkpoint."""
    algorithm = build("VDN", checkpoint_replay_buffer=True)
    algorithm.train()
    path = tmp_path_factory.mktemp("saved") / "checkpoint"
    algorithm.save_to_path(path)
    yield algorithm, path
    algorithm.stop()


@pytest.fixture
def algorithm(ray_session):
    """Another one, untrained."""
    algorithm = build("VDN", seed=2)
    yield algorithm
    algorithm.stop()


@contextlib.contextmanager
def disk_full_after(n_bytes):
    """Within, no file of this process can grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def cut(file):
    file.write_bytes(file.read_bytes()[:-1])


def alter(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


STATE = "algorithm_state.pkl"
WEIGHTS = "learner_group/learner/rl_module/default_policy/module_state.pkl"
DAMAGES = [
    ("replay.zip", cut, "replay.zip is damaged"),
    ("replay.zip", alter, "replay.zip is damaged"),
    (STATE, cut, f"{STATE} is damaged"),
    (WEIGHTS, alter, f"{WEIGHTS} is damaged"),
    (WEIGHTS, lambda file: file.unlink(), f"incomplete: {WEIGHTS} is missing"),
    ("SHA256SUMS", lambda file: file.unlink(), "incomplete: its last file, SHA256SUMS"),
    ("SHA256SUMS", alter, "damaged|incomplete"),
    ("rllib_checkpoint.json", lambda file: file.unlink(), "is not a checkpoint"),
    ("rllib_checkpoint.json", cut, "rllib_checkpoint.json is damaged"),
    ("class_and_ctor_args.pkl", cut, "class_and_ctor_args.pkl is damaged"),
]


def test_what_is_damaged_is_named_and_nothing_loaded(saved, algorithm, tmp_path):
    before = weights(algorithm)
    for i, (file, damage, says) in enumerate(DAMAGES):
        path = tmp_path / str(i)
        shutil.copytree(saved[1], path)
        damage(path / file)
        with pytest.raises(CheckpointError, match=says):
            algorithm.restore_from_path(path)
        with pytest.raises(CheckpointError, match=says):
            ALGORITHMS["VDN"].from_checkpoint(path)
        assert_equal(before, weights(algorithm))
        assert len(algorithm.replay) == algorithm.iteration == 0
    algorithm.restore_from_path(saved[1])
    assert_equal(weights(saved[0]), weights(algorithm))
    assert len(algorithm.replay) == len(saved[0].replay)


def test_another_algorithms_checkpoint_is_refused(saved):
    with pytest.raises(CheckpointError, match="is a checkpoint of VDN; expected one of QMIX"):
        checkpoint.verify(saved[1], "QMIX")


def test_tunes_checkpoint_is_taken(saved):
    again = ALGORITHMS["VDN"].from_checkpoint(tune.Checkpoint.from_directory(saved[1]))
    assert_equal(weights(saved[0]), weights(again))
    again.stop()


def test_what_no_algorithm_of_this_package_saved(tmp_path):
    (tmp_path / "rllib_checkpoint.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"is not a checkpoint of this package\.$"):
        ALGORITHMS["VDN"].from_checkpoint(tmp_path)


def test_another_version_says_so(saved, algorithm, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr("rllib_qatten.checkpoints.folder.__version__", "0.0.1")
        saved[0].save_to_path(tmp_path / "old")
    algorithm.restore_from_path(tmp_path / "old")
    assert "saved by rllib_qatten 0.0.1; this is " in capsys.readouterr().err
    assert_equal(weights(saved[0]), weights(algorithm))


@pytest.mark.slow
def test_other_numbers_of_games_and_runners_begin_new_games(saved, capfd):
    for settings, why in (
        ({"num_envs_per_env_runner": 3}, "num_envs_per_env_runner: 4 in the checkpoint, 3 here."),
        ({"num_env_runners": 1}, "other env runners played there."),
    ):
        other = build("VDN", **settings)
        other.restore_from_path(saved[1])
        assert capfd.readouterr().err.count(f"Games under way start over: {why}\n") == 1
        before = saved[0].metrics.peek(("env_runners", "num_env_steps_sampled_lifetime"))
        assert other.train()["num_env_steps_sampled_lifetime"] >= before + 60
        other.stop()


def test_another_seed_goes_on_by_draws_of_its_own(saved, capfd):
    def gone_on(seed):
        other = build("VDN", seed=seed)
        other.restore_from_path(saved[1])
        said = capfd.readouterr().err
        assert len(other.replay) == len(saved[0].replay)
        other.train()
        other.stop()
        return said, weights(other)

    said, by_its_own = gone_on(TINY["seed"])
    assert "start over" not in said
    seen = [by_its_own]
    for seed in (8, 9):
        said, found = gone_on(seed)
        assert f"Games under way start over: seed: 1 in the checkpoint, {seed} here.\n" in said
        seen.append(found)
    heads = [found["agent.head.weight"] for found in seen]
    assert all((a != b).any() for i, a in enumerate(heads) for b in heads[:i])
    assert_equal(gone_on(9)[1], seen[2])


def test_other_rewards_of_the_team(saved, capfd):
    other = build("VDN", team_reward="sum")
    other.restore_from_path(saved[1])
    other.stop()
    said = capfd.readouterr().err
    assert "Games under way start over: team_reward: 'equal' in the checkpoint, 'sum' here." in said
    assert "team_reward: equal in the checkpoint, sum here: the games in the replay keep" in said


class Scales(ConnectorV2):
    """Counts its calls, and keeps the number in checkpoints."""

    calls = 0

    def __call__(self, *, batch, **kwargs):
        self.calls += 1
        batch["default_policy"]["rewards"] *= 1 / self.calls
        return batch

    def get_state(self, *args, **kwargs):
        return {"calls": self.calls}

    def set_state(self, state):
        self.calls = state["calls"]


def test_what_a_learner_connector_remembers_is_kept(tmp_path):
    settings = {"updates_per_episode": 0.2, "_learner_connector": lambda *spaces: Scales()}
    whole = build("VDN", **settings)
    whole.train()
    whole.save_to_path(tmp_path / "checkpoint")
    again = Algorithm.from_checkpoint(tmp_path / "checkpoint")
    for algorithm in (whole, again):
        algorithm.train()
        algorithm.stop()
    assert_equal(weights(whole), weights(again))


def test_without_the_replay(saved, algorithm, tmp_path, capsys):
    lean = build("VDN", checkpoint_replay_buffer=False)
    lean.restore_from_path(saved[1])
    assert len(lean.replay) > 0
    lean.save_to_path(tmp_path / "lean")
    lean.stop()
    assert not (tmp_path / "lean" / "replay.zip").exists()
    capsys.readouterr()
    algorithm.restore_from_path(tmp_path / "lean")
    assert len(algorithm.replay) == 0
    assert "holds no replay" in capsys.readouterr().err


def test_without_the_gpu_it_was_trained_on(saved, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    [state], _ = saved[0].get_ctor_args_and_kwargs()
    algorithm = ALGORITHMS["VDN"](state | {"num_gpus_per_learner": 1})
    algorithm.restore_from_path(saved[1])
    assert "there is none here" in capsys.readouterr().err
    algorithm.stop()


def test_a_full_disk_leaves_the_earlier_checkpoint(saved, tmp_path):
    path = tmp_path / "checkpoint"
    saved[0].save_to_path(path)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with (
        disk_full_after(10_000),
        pytest.raises(CheckpointError, match="No checkpoint could be"),
    ):
        saved[0].save_to_path(path)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    assert list(tmp_path.iterdir()) == [path]
    (path / "notes.txt").write_text("mine")
    (path / "replay.zip").unlink()
    saved[0].save_to_path(path)
    checkpoint.verify(path, "VDN")
    assert (path / "replay.zip").exists()
    assert (path / "notes.txt").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("theirs", ["SHA256SUMS", "team/roster.xlsx", "rllib_checkpoint.json"])
def test_a_folder_of_something_else_is_left_alone(saved, tmp_path, theirs):
    file = tmp_path / "dataset" / theirs
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    with pytest.raises(CheckpointError, match="it holds other files, and no checkpoint of this"):
        saved[0].save_to_path(tmp_path / "dataset")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
    assert file.read_text() == "{}"


def test_the_folder_that_the_process_works_in_is_not_replaced(saved, tmp_path, monkeypatch):
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "below")
    for path in (".", ".."):
        with pytest.raises(CheckpointError, match="this process works in it"):
            saved[0].save_to_path(path)
    saved[0].save_to_path("new")
    checkpoint.verify(tmp_path / "here" / "below" / "new", "VDN")


def test_a_folder_keeps_its_mode_and_a_new_one_has_the_usual(saved, tmp_path):
    private, new = tmp_path / "private", tmp_path / "new"
    private.mkdir(0o700)
    before = os.umask(0o027)
    try:
        for path in (private, private, new):
            saved[0].save_to_path(path)
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (private, new)] == [0o700, 0o750]


def test_only_tunes_own_checkpoints_lose_their_replay(tmp_path):
    names = ["checkpoint_000001", "checkpoint_000001_keep", "checkpoint_000002",
             "checkpoint_000003", "checkpoint_best"]  # fmt: skip
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / checkpoint.REPLAY).touch()
    checkpoint.forget_replays(LocalFileSystem(), str(tmp_path))
    left = sorted(file.parent.name for file in tmp_path.rglob(checkpoint.REPLAY))
    assert left == names[1:]


def test_a_place_that_cannot_be_written(saved, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"saved at .*file/checkpoint: .*(irectory|exists)"):
        saved[0].save_to_path(tmp_path / "file" / "checkpoint")


def test_a_storage_that_fills_up_keeps_the_last_good_checkpoint(saved, tmp_path, monkeypatch):
    """Tune copies checkpoints to where results are kept: that may fail half-way."""
    algorithm = saved[0]
    storage = StorageContext(str(tmp_path), "run", trial_dir_name="trial")
    monkeypatch.setattr(algorithm, "_storage", storage)
    [trial] = algorithm.save().checkpoint.path.rsplit("/", 1)[:1]
    folders = sorted(Path(trial).glob("checkpoint_*"))

    def half(*, destination, **kwargs):
        Path(destination, "half").touch()
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr("ray.train._internal.storage._pyarrow_fs_copy_files", half)
        with pytest.raises(CheckpointError, match=r"trial: No space left on device. Earlier"):
            algorithm.save()
    assert sorted(Path(trial).glob("checkpoint_*")) == folders
    assert (folders[0] / "replay.zip").exists()
    checkpoint.verify(folders[0], "VDN")
    later = [Path(algorithm.save().checkpoint.path) for _ in range(2)]
    # Two keep their replay: after a crash Tune may know only of the last but one.
    assert all((folder / "replay.zip").exists() for folder in later)
    assert not (folders[0] / "replay.zip").exists()


def _fill_the_disk(algorithm, **kwargs):
    if algorithm.iteration == 4:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))


@pytest.mark.slow
def test_tune_keeps_two_replays_and_a_full_disk_harms_nothing(tmp_path):
    config = {"env": "two_step_game", "callbacks_on_train_result": _fill_the_disk}
    [result] = tune.Tuner(
        "VDN",
        param_space=config | those_of("VDN", TINY),
        run_config=tune.RunConfig(
            name="run",
            storage_path=str(tmp_path),
            stop={"training_iteration": 5},
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1),
            verbose=0,
        ),
    ).fit()
    assert "No checkpoint could be saved" in str(result.error)
    assert "File too large. Earlier checkpoints are intact" in str(result.error)
    folders = sorted(tmp_path.glob("run/VDN*/checkpoint_*"))
    assert [folder.name for folder in folders] == [f"checkpoint_00000{i}" for i in range(3)]
    assert [(folder / "replay.zip").exists() for folder in folders] == [False, True, True]
    for folder in folders:
        checkpoint.verify(folder, "VDN")
    resumed = Algorithm.from_checkpoint(folders[0])
    assert resumed.iteration == 1
    resumed.stop()
