"""What `--restore` goes on with, and what it refuses."""

import json
import pickle
import re

import pytest
import yaml
from typer.testing import CliRunner

from rllib_qatten.__main__ import app
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.checks import check
from rllib_qatten.experiment.file import Changes, read
from rllib_qatten.experiment.restoring import (
    SETTINGS_FILE,
    TUNER,
    is_done,
    read_state,
    record_settings,
    restored_tuner,
    tell_of_unfinished,
)
from rllib_qatten.experiment.stopping import Stopping
from rllib_qatten.experiment.tuner import tuner
from rllib_qatten.files import claimed
from tests.experiment.test_sweeps import SETTINGS

SESSION = "2026-01-01_00-00-09"


@pytest.fixture
def plan(tmp_path):
    """A checked experiment whose results are in the test's folder."""

    def make(*changes, stop=(), **fields):
        file = tmp_path / "exp.yaml"
        fields = {"run": "QMIX", "env": "two_step_game", "stop": {"training_iteration": 3}} | fields
        file.write_text(yaml.safe_dump({"game": {"config": {"seed": 1}} | fields}))
        [experiment] = read(file, Changes(set_=changes, stop=stop, storage_path=str(tmp_path)))
        return check(experiment)

    return make


def leave(plan, *trials):
    """What a run leaves in its folder; of each trial its status and iterations."""
    folder = plan.experiment.folder
    (folder / "trial" / "checkpoint_000003").mkdir(parents=True, exist_ok=True)
    (folder / "trial" / "checkpoint_000003" / "rllib_checkpoint.json").write_text("{}")
    data = [
        [json.dumps({"status": status}), json.dumps({"last_result": {"training_iteration": n}})]
        for status, n in trials
    ]
    state = folder / f"experiment_state-{SESSION}.json"
    state.write_text(json.dumps({"trial_data": data}))
    (folder / TUNER).write_bytes(pickle.dumps(None))
    record_settings(plan.experiment)
    return plan


def test_a_run_without_a_state_yet_is_refused(plan):
    folder = leave(plan(), ("RUNNING", 1)).experiment.folder
    for state in folder.glob("experiment_state-*"):
        state.unlink()
    with pytest.raises(BadInput, match=f"{folder} holds no state of a run yet. Begin anew without"):
        read_state(plan())


def test_a_run_goes_on_with_its_settings(plan):
    leave(plan(), ("RUNNING", 1))
    assert not is_done(plan())
    assert not is_done(plan(stop=("training_iteration=9",)))


@pytest.mark.slow
def test_a_battle_by_another_name_is_the_same(plan):
    pytest.importorskip("jaxmarl", reason="the extra smax is not installed")
    battle = {"env": "smac", "config": {"env_config": {"map_name": "3m", "engine": "smax"}}}
    leave(plan(**battle), ("RUNNING", 1))
    assert not is_done(plan("env_config.map_name=3m_vs_3m", **battle))
    with pytest.raises(BadInput, match=r"changed: env_config.map_name '3m' -> '8m'\. For"):
        is_done(plan("env_config.map_name=8m", **battle))


def test_what_tune_draws_is_no_difference(plan):
    drawn = "lr={loguniform: [0.001, 0.01]}", "seed={grid_search: [1, 2]}"
    leave(plan(*drawn), ("TERMINATED", 3), ("RUNNING", 1))
    assert not is_done(plan(*drawn))


@pytest.mark.parametrize(
    ("changes", "fields", "told"),
    [
        (("seed=7",), {}, "changed: seed 1 -> 7. For"),
        (("lr=0.1",), {}, "changed: lr not set -> 0.1. For"),
        ((), {"config": {}}, "changed: seed 1 -> not set. For"),
        ((), {"run": "VDN"}, "changed: run 'QMIX' -> 'VDN'. For"),
        ((), {"env": "matrix_game"}, "changed: env 'two_step_game' -> 'matrix_game'. For"),
        ((), {"checkpoint_config": {"num_to_keep": 9}}, "checkpoint_config not set -> "),
        (("seed={grid_search: [1, 2]}",), {}, "changed: seed 1 -> {'grid_search': [1, 2]}. For"),
        ((), {"num_samples": 2}, "changed: num_samples not set -> 2. For"),
    ],
)
def test_other_settings_are_refused(plan, changes, fields, told):
    newest = leave(plan(), ("RUNNING", 1)).experiment.folder / "trial" / "checkpoint_000003"
    with pytest.raises(BadInput) as refused:
        is_done(plan(*changes, **fields))
    assert told in str(refused.value)
    assert f"as a new run: --resume {newest}, or" in str(refused.value)


def test_the_command_refuses_them_before_ray_also_without_running(plan, tmp_path, monkeypatch):
    monkeypatch.setattr("ray.init", None)
    leave(plan(), ("RUNNING", 1))
    words = ["train", "-f", str(tmp_path / "exp.yaml"), "--storage-path", str(tmp_path)]
    for more in ((), ("--dry-run",)):
        result = CliRunner().invoke(app, [*words, "--restore", "--set", "seed=7", *more])
        assert result.exit_code == 2, result.output
        assert "changed: seed 1 -> 7" in result.output


def test_a_finished_run_says_so_and_is_no_failure(plan, tmp_path, monkeypatch):
    monkeypatch.setattr("ray.init", None)
    folder = leave(plan(), ("TERMINATED", 3)).experiment.folder
    words = ["train", "-f", str(tmp_path / "exp.yaml"), "--storage-path", str(tmp_path)]
    result = CliRunner().invoke(app, [*words, "--restore"])
    assert result.exit_code == 0, result.output
    assert f"game is finished: its trial has ended, with results in {folder}." in result.output


def test_a_run_some_of_whose_trials_have_not_begun_is_not_finished(plan):
    leave(plan(num_samples=3), ("TERMINATED", 3), ("TERMINATED", 3))
    assert not is_done(plan(num_samples=3))


def test_a_later_stop_needs_all_trials_or_none(plan):
    leave(plan(num_samples=2), ("TERMINATED", 3), ("TERMINATED", 9))
    with pytest.raises(BadInput, match=r"training_iteration=5: 1 of 2 trials .* are past it"):
        is_done(plan(num_samples=2, stop=("training_iteration=5",)))
    asha = {"scheduler": "asha", "num_samples": 2}
    leave(plan(**asha), ("TERMINATED", 1), ("RUNNING", 2))
    assert not is_done(plan(**asha))
    with pytest.raises(BadInput, match=r"has judged .* --stop training_iteration=3, or"):
        is_done(plan(**asha, stop=("training_iteration=5",)))


def test_a_run_of_which_nothing_is_recorded_keeps_its_settings_and_says_so(plan, capsys):
    folder = leave(plan(), ("RUNNING", 1)).experiment.folder
    (folder / SETTINGS_FILE).unlink()
    assert not is_done(plan("seed=7"))
    assert "were not recorded (by an older release) or are lost: " in capsys.readouterr().err


@pytest.mark.slow
def test_a_finished_run_goes_on_to_a_later_stop(ray_session, plan):
    stop = ("training_iteration=2",)
    first = plan(config=SETTINGS, stop=("training_iteration=1",))
    made = tuner(first, stop=Stopping(first.experiment.stop), callbacks=[], resume=None)
    record_settings(first.experiment)
    [before] = made.fit()
    assert is_done(first)
    later = plan(config=SETTINGS, stop=stop)
    assert not is_done(later)
    [after] = restored_tuner(later, stop=Stopping(later.experiment.stop), callbacks=[]).fit()
    assert after.path == before.path
    assert [r.metrics["training_iteration"] for r in (before, after)] == [1, 2]


STATES = {
    "experiment_state-2026-01-01_00-00-00.json": b"{ from an earlier session",
    f"experiment_state-{SESSION}.json": b'{"trial_data": []}',
    f"callback-states-{SESSION}.pkl": pickle.dumps({0: None}),
    f"basic-variant-state-{SESSION}.json": pickle.dumps({}),  # so Tune calls it
    TUNER: pickle.dumps(None),
}


@pytest.fixture
def begun(plan, tmp_path):
    """A plan whose run has begun, with a checkpoint, and its folder."""
    folder = tmp_path / "game"
    trial = folder / "QMIX_2026-01-01_00-00-09.json"  # a folder with the time in its name, too
    (trial / "checkpoint_000003").mkdir(parents=True)
    (trial / "checkpoint_000003" / "rllib_checkpoint.json").write_text("{}")
    for name, content in STATES.items():
        (folder / name).write_bytes(content)
    return plan(), folder


def test_the_state_of_a_run_is_that_of_its_newest_session(begun):
    assert read_state(begun[0]).trials == []


@pytest.mark.parametrize("name", list(STATES)[1:])
@pytest.mark.parametrize("left", [0, 3])
def test_a_damaged_state_is_refused_with_the_newest_checkpoint(begun, name, left):
    """Tune would begin all trials anew without a word."""
    plan, folder = begun
    (folder / name).write_bytes(STATES[name][:left])
    with pytest.raises(BadInput) as refused:
        read_state(plan)
    assert str(refused.value).startswith(f"--restore: {folder / name} is damaged")
    assert re.search(r"--resume \S+/checkpoint_000003$", str(refused.value))
    (folder / name).unlink()
    if name == TUNER:
        with pytest.raises(BadInput, match=r"tuner\.pkl is damaged.*FileNotFoundError"):
            read_state(plan)


def test_a_run_that_begins_anew_tells_of_one_that_has_not_ended(plan, capsys):
    for trials, told in (
        ([], True),
        ([("TERMINATED", 3)], False),
        ([("RUNNING", 1)], True),
        ([("ERROR", 2)], True),
    ):
        newest = leave(plan(), *trials).experiment.folder / "trial" / "checkpoint_000003"
        tell_of_unfinished(plan())
        said = capsys.readouterr().err
        assert ("holds a run that has not ended: --restore would" in said) == told
        assert (f"another --name: --resume {newest}" in said) == told
    (newest.parents[1] / TUNER).unlink()  # --restore could not continue it
    tell_of_unfinished(plan())
    assert not capsys.readouterr().err


def test_two_runs_do_not_write_into_one_folder(plan, tmp_path, monkeypatch):
    monkeypatch.setattr("ray.init", None)
    folder = leave(plan(), ("RUNNING", 1)).experiment.folder
    words = ["train", "-f", str(tmp_path / "exp.yaml"), "--storage-path", str(tmp_path)]
    with claimed(folder) as ours:
        assert ours
        for more in ((), ("--restore",)):
            result = CliRunner().invoke(app, [*words, *more])
            assert result.exit_code == 2, result.output
            assert f"another rllib train is writing its results to {folder}:" in result.output
