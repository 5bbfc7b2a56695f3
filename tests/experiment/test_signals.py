"""Runs that are told to stop, by any signal at any time, and continue as if they were not."""

import contextlib
import os
import pty
import random
import re
import signal
import time
from pathlib import Path

import psutil
import pytest
import yaml
from ray.tune.callback import CallbackList
from ray.tune.experiment import Trial
from ray.tune.logger import TBXLoggerCallback
from ray.tune.result import SHOULD_CHECKPOINT
from ray.tune.utils.callback import _create_default_callbacks as create_default_callbacks

from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.checks import check
from rllib_qatten.experiment.curves import CSVCurves, JSONCurves
from rllib_qatten.experiment.file import Changes, read
from rllib_qatten.experiment.progress import Progress
from rllib_qatten.experiment.stopping import Stopping, StopRequest
from rllib_qatten.experiment.tuner import tuner
from tests.experiment.random_stops import differences, stopped_at_random
from tests.experiment.runs import GAME, Run, changed, trained


def listening(process):
    """Address and program of every socket on which a process or one of its children listens."""
    found = set()
    for each in [psutil.Process(process), *psutil.Process(process).children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            for connection in each.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN or connection.type == 2:  # UDP
                    found.add((connection.laddr.ip, each.name()))
    return found


@pytest.mark.slow
def test_sigterm_saves_and_restore_continues_and_nobody_else_listens(tmp_path):
    with Run(tmp_path, GAME | {"stop": {"training_iteration": 9999}}) as run:
        run.wait_for(lambda: run.lines() >= 2)
        found = listening(run.process.pid)
        environment = psutil.Process(run.process.pid).children()[0].environ()
        ground = Path(environment["RAY_TMPDIR"])
        assert ground.stat().st_mode & 0o777 == 0o700
        assert len(environment["RAY_AUTH_TOKEN"]) == 64
        run.process.terminate()
        run.process.terminate()  # as some schedulers do
        assert run.end(90) == 143, run.errors
        assert {name for _, name in found} >= {"gcs_server", "raylet"}
        assert {ip for ip, _ in found} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, found
        assert "Stopping after this iteration" in run.errors
        assert "Traceback" not in run.errors
        assert re.search(r"^  rllib train -f exp.yaml .*--restore$", run.errors, re.MULTILINE)
        [saved] = re.findall(r"--resume (\S+)$", run.errors, re.MULTILINE)
        assert f"Last checkpoint:  {saved}" in run.output
        assert not ground.exists()
        before = run.rows
    stop = before[-1]["training_iteration"] + 2
    with Run(tmp_path, GAME | {"stop": {"training_iteration": stop}}, "--restore") as run:
        assert run.end() == 0, run.errors
        assert run.rows[: len(before)] == before
        assert [row["training_iteration"] for row in run.rows] == list(range(1, stop + 1))


@pytest.fixture
def as_in_a_terminal():
    """SIGHUP is not ignored, as it is where the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_where_there_is_something_to_finish(
    monkeypatch, capfd, as_in_a_terminal, signum
):
    monkeypatch.setenv("RLLIB_GRACE_S", "60")
    request, now = StopRequest(), time.monotonic()
    before = signal.getsignal(signum)
    with request.listening():
        with request.training():
            signal.raise_signal(signum)
            assert request.signum == signum
            assert "Stopping after this iteration, with a checkpoint." in capfd.readouterr().err
            if signum == signal.SIGINT:
                assert request.deadline == float("inf")
                with pytest.raises(KeyboardInterrupt):
                    signal.raise_signal(signum)
            else:
                assert now + 60 <= request.deadline <= time.monotonic() + 60
                deadline = request.deadline
                signal.raise_signal(signum)  # as some schedulers do
                assert request.deadline == deadline
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signum)
        request.ignore()
        signal.raise_signal(signum)
    assert signal.getsignal(signum) == before


def test_hangups_of_a_command_with_nohup_stay_unheard():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest().listening():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("grace", ["60", "0"])
def test_trials_end_once_they_are_saved_or_the_grace_time_is_over(monkeypatch, grace):
    monkeypatch.setenv("RLLIB_GRACE_S", grace)
    ended = []
    before = signal.signal(signal.SIGUSR1, lambda *arguments: ended.append(True))
    request = StopRequest()
    stopping = Stopping({}, request)
    trials = [Trial("QMIX", stub=True) for _ in range(3)]
    for trial in trials[:2]:
        trial.set_status(Trial.RUNNING)
    try:
        stopping.on_trial_save(0, trials, trials[0])  # before the request: not waited for
        stopping.on_step_end(0, trials)
        assert not ended
        with request.listening(), request.training():
            signal.raise_signal(signal.SIGTERM)
        for trial in trials[:2]:
            stopping.on_step_end(0, trials)
            assert bool(ended) == (grace == "0")
            stopping.on_trial_save(0, trials, trial)
        stopping.on_step_end(0, trials)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ended == [True]
    assert stopping.interrupted
    assert stopping.cut_off == (grace == "0")


def test_the_row_of_a_stop_is_like_any_other(tmp_path, monkeypatch):
    """What asks Tune for the checkpoint is added once the row is written."""
    (tmp_path / "exp.yaml").write_text(yaml.safe_dump({"game": GAME}))
    [experiment] = read(tmp_path / "exp.yaml", Changes(storage_path=str(tmp_path / "out")))
    written = []

    def write(self, iteration, trial, result):
        written.append((type(self), dict(result)))

    for writer in (CSVCurves, JSONCurves, TBXLoggerCallback):
        monkeypatch.setattr(writer, "log_trial_result", write)
    request = StopRequest()
    stopping = Stopping({}, request)
    callbacks = [Progress(stopping, 1)]
    made = tuner(check(experiment), stop=stopping, callbacks=callbacks, resume=None)
    trial = Trial("QMIX", stub=True)
    result = {"training_iteration": 1, "time_total_s": 1.0, "time_this_iter_s": 1.0}
    request.signum = signal.SIGTERM
    listed = CallbackList(create_default_callbacks(made._local_tuner.get_run_config().callbacks))
    listed.on_trial_result(iteration=1, trials=[trial], trial=trial, result=result)
    assert result[SHOULD_CHECKPOINT]
    assert {writer for writer, _ in written} == {CSVCurves, JSONCurves, TBXLoggerCallback}
    assert all(SHOULD_CHECKPOINT not in row for _, row in written)


@pytest.mark.parametrize("text", ["soon", "-1", "nan"])
def test_a_grace_time_that_is_none(monkeypatch, text):
    monkeypatch.setenv("RLLIB_GRACE_S", text)
    with pytest.raises(BadInput, match=f"RLLIB_GRACE_S must be seconds, 0 or more; got '{text}'"):
        StopRequest()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_stopped_at_random_times_all_ends_as_if_never_stopped(tmp_path):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    straight.mkdir()
    broken.mkdir()
    wanted = trained(straight, GAME)
    codes, found = stopped_at_random(broken, GAME, 5, random.Random(1))
    assert not differences(found, wanted)
    assert 143 in codes


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sampling", ["lockstep", "overlapped"])
def test_sigterm_stops_sweeps(tmp_path, sampling):
    players = {"sampling": sampling, "num_env_runners": 1} if sampling == "overlapped" else {}
    experiment = changed(lr={"grid_search": [0.001, 0.002]}, **players)
    experiment["stop"] = {"training_iteration": 9999}
    with Run(tmp_path, experiment) as run:
        run.wait_for(lambda: len(re.findall("^#", run.output, re.MULTILINE)) > 3)
        run.process.terminate()
        assert run.end(90) == 143
        assert "To continue all trials:" in run.errors
        assert "Traceback" not in run.errors
        rows = [row["training_iteration"] for row in run.rows]
    experiment["stop"] = {"training_iteration": rows[-1] + 2}
    with Run(tmp_path, experiment, "--restore") as run:
        assert run.end() == 0, run.errors
        assert [row["training_iteration"] for row in run.rows][: len(rows)] == rows


@pytest.mark.slow
def test_a_signal_before_the_first_result(tmp_path):
    with Run(tmp_path, changed(min_sample_timesteps_per_iteration=10**7), RLLIB_GRACE_S="1") as run:
        run.wait_for(lambda: "replay of" in run.errors)
        time.sleep(2)
        start = time.monotonic()
        run.process.terminate()
        assert run.end(60) == 143
        assert time.monotonic() - start < 15
        assert "The iteration did not end in time" in run.errors
        assert "--restore" in run.errors
        assert "Traceback" not in run.errors
    assert list(tmp_path.glob("out/game/experiment_state-*.json"))  # what --restore begins from


@pytest.mark.slow
def test_a_terminal_that_closes(tmp_path):
    ours, theirs = pty.openpty()
    forever = GAME | {"stop": {"training_iteration": 9999}}
    with Run(tmp_path, forever, terminal=theirs) as run:
        os.close(theirs)
        seen = b""
        while seen.count(b"\n") < 5:
            seen += os.read(ours, 4096)
        os.close(ours)
        run.process.send_signal(signal.SIGHUP)  # as the kernel does to whom the terminal belongs
        assert run.end(90) == 129
    assert trained(tmp_path, GAME | {"stop": {"training_iteration": 1}}, "--restore")


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once(tmp_path):
    with Run(tmp_path, changed(min_sample_timesteps_per_iteration=10**7)) as run:
        run.wait_for(lambda: "replay of" in run.errors)
        run.process.send_signal(signal.SIGINT)
        run.wait_for(lambda: "Ctrl-C again" in run.errors)
        run.process.send_signal(signal.SIGINT)
        assert run.end(30) == 130
        assert "Traceback" not in run.errors


@pytest.mark.slow
def test_a_time_budget_ends_with_a_checkpoint_and_a_word(tmp_path):
    experiment = GAME | {"stop": {"training_iteration": 9999}, "time_budget_s": 45}
    with Run(tmp_path, experiment) as run:
        assert run.end(180) == 0, run.errors
        assert "time_budget_s: the 45 s of game are used up." in run.output
        [saved] = re.findall(r"--resume (\S+)$", run.errors, re.MULTILINE)
        assert Path(saved).is_dir()
        last = run.rows[-1]["training_iteration"]
    experiment = GAME | {"stop": {"training_iteration": last + 1}, "time_budget_s": 600}
    assert trained(tmp_path, experiment, "--restore")[-1]["training_iteration"] == last + 1


@pytest.mark.slow
def test_a_signal_to_the_whole_process_group(tmp_path):
    with Run(tmp_path, GAME | {"stop": {"training_iteration": 9999}}) as run:
        run.wait_for(lambda: run.lines() >= 5)
        os.killpg(run.process.pid, signal.SIGTERM)
        assert run.end(60) == 143
        print(run.errors)
        assert "--restore" in run.errors
        assert "Traceback (" not in run.errors
    assert trained(tmp_path, GAME, "--restore")[-1]["training_iteration"] >= 12
