"""What a run shows: rows that fit, the live line, time left; Ray does not run here."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest

from rllib_qatten import keys
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment import pace as pace_module
from rllib_qatten.experiment.pace import Pace, Past, last_run
from rllib_qatten.experiment.progress import best_first
from rllib_qatten.experiment.rows import COLUMNS, Rows, as_json, clock
from rllib_qatten.experiment.screen import Screen

ROOT = Path(__file__).parents[2]


def test_a_score_of_zero_is_one():
    scores = {"none": None, "worst": -5.0, "zero": 0.0, "best": 2.0}
    assert best_first(scores) == ["best", "zero", "worst", "none"]


def result(battle=True, **changes):
    """A flat result with the largest numbers that runs have."""
    flat = {
        keys.STEPS: 10_050_000, "steps_per_second": 12_345.6, keys.RETURN: -123.456,
        keys.GREEDY_RETURN: -123.456, f"{keys.LEARNER}/{keys.LOSS}": 0.0231234,
        f"{keys.ENV_RUNNERS}/{keys.EPSILON}": 0.05, "time_total_s": 36_000.0,
        "time_left_s": 3_599.0, "games_lost": 12, "training_iteration": np.int64(7),
    }  # fmt: skip
    if battle:
        flat |= {keys.WINS: 1.0, keys.GREEDY_WINS: 0.916}
    return flat | changes


@pytest.mark.parametrize("width", [40, 80, 100, 200, None])
@pytest.mark.parametrize("battle", [True, False])
@pytest.mark.parametrize("dropped", [True, False])
@pytest.mark.parametrize("several", [True, False])
def test_rows_fit_the_screen(width, battle, dropped, several):
    rows, flat = Rows(several, width), result(battle)
    assert rows.arrange(flat, dropped)
    assert not rows.arrange(flat, dropped)
    lines = [
        *rows.header("greedy"),
        rows.row("#12 lr=0.0001234 weighted_heads=True n_heads=4", flat),
    ]
    assert max(map(len, lines)) < (width or 130)
    assert len(lines[1]) == len(lines[2])
    assert " 10,050,000" in lines[2]
    assert ("91.6%" in lines[2]) == battle
    if several:
        assert lines[2].startswith("#12 ")
    if dropped and width != 40:
        assert " dropped" in lines[1]


def test_a_wide_screen_shows_more_and_a_narrow_one_what_counts():
    def titles(width):
        rows = Rows(False, width)
        rows.arrange(result(), dropped=False)
        return [(c.group, c.title) for c in rows.columns]

    assert titles(200) == [(c.group, c.title) for c in COLUMNS]
    eighty = titles(80)
    for title in [("evaluation", "won"), ("exploring", "won"), ("", "left"), ("", "loss")]:
        assert title in eighty
    assert titles(40)[0] == ("", "env steps")
    assert ("evaluation", "won") in titles(40)


@pytest.mark.parametrize("games", ["greedy", "evaluation"])
def test_groups_stand_above_their_columns(games):
    rows = Rows(False, 80)
    rows.arrange(result(), dropped=False)
    groups, titles = rows.header(games)
    for name in ("exploring", games):
        # From where its first column begins to where its last one ends.
        [span] = re.finditer(rf"─*{name}─*", groups)
        assert titles[span.start() : span.end()].split()[0] == "won"
        assert titles[span.end() - 1] != " "


def test_what_is_missing_is_a_dash():
    rows = Rows(False, 80)
    flat = result(**{keys.GREEDY_WINS: float("nan"), "time_left_s": None})
    rows.arrange(flat, dropped=False)
    assert rows.row("", flat).count(" - ") == 2


def test_a_row_as_json():
    row = json.loads(as_json("game", "#0", "abc", result(**{keys.GREEDY_WINS: float("nan")})))
    assert row["num_env_steps_sampled_lifetime"] == 10_050_000
    assert row["evaluation/env_runners/win_rate"] is None
    assert row["training_iteration"] == 7
    assert (row["experiment"], row["trial_id"]) == ("game", "abc")
    assert row["time_left_s"] == 3599.0


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def time(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(pace_module, "time", clock)
    return clock


def row(steps, seconds, iteration=1, took=10.0):
    return {
        keys.STEPS: steps, "time_total_s": seconds, "training_iteration": iteration,
        "time_this_iter_s": took,
    }  # fmt: skip


def test_an_earlier_run_gives_an_estimate_from_the_first_second(time):
    past = Past(200.0, 2000.0, 20.0, Path())
    trial = Pace({keys.STEPS: 1000}, past)
    assert trial.left == pytest.approx(100.0)
    time.now += 30  # its first games are still being compiled
    assert trial.left == pytest.approx(70.0)
    trial.note({"doing": "playing", "env_steps": 500})
    assert trial.left == pytest.approx(50.0)
    assert Pace({"training_iteration": 10}, past).left == pytest.approx(100.0)
    assert Pace({keys.GREEDY_WINS: 0.9}, past).left is None


def test_between_two_rows_the_trials_own_speed_counts(time):
    trial = Pace({keys.STEPS: 1000})
    assert trial.left is None
    assert trial.share == 0
    for steps in (0, 50, 100):
        trial.note({"doing": "playing", "env_steps": steps, "win_rate": 0.25})
        time.now += 5
    assert trial.speed == pytest.approx(10.0)
    assert trial.share == pytest.approx(0.1)
    assert trial.left == pytest.approx(90.0)
    assert trial.score == "25.0% won"
    # An evaluation plays no steps: the speed stays that of the games.
    time.now += 60
    trial.note({"doing": "evaluating", "env_steps": 100})
    assert trial.speed == pytest.approx(10.0)


def test_after_two_rows_their_mean_counts_evaluations_included(time):
    trial = Pace({keys.STEPS: 1000})
    first, second = row(100, 10.0), row(200, 30.0, iteration=2, took=20.0)
    trial.row(first)
    assert "time_left_s" not in first
    time.now += 20
    trial.row(second)
    assert second["steps_per_second"] == pytest.approx(5.0)
    assert second["time_left_s"] == pytest.approx(160.0)
    time.now += 10
    assert trial.left == pytest.approx(150.0)


def test_a_trial_that_goes_on_elsewhere_has_no_speed_for_that_row(time):
    trial = Pace({keys.STEPS: 1000})
    trial.row(row(100, 10.0))
    jumped = row(500, 60.0, iteration=6)
    trial.row(jumped)
    assert "steps_per_second" not in jumped


def test_the_nearest_criterion_counts(time):
    trial = Pace({keys.STEPS: 10_000, "time_total_s": 50.0})
    trial.row(row(100, 10.0))
    trial.row(row(200, 20.0, iteration=2))
    assert trial.left == pytest.approx(30.0)
    assert trial.share == pytest.approx(0.4)


def test_the_newest_run_with_results_is_the_last_run(tmp_path):
    assert last_run(tmp_path) is None
    assert last_run("s3://bucket/game") is None
    for name, seconds, stamp in (("a", 10, 1), ("b", 30, 3), ("c", 20, 2), ("d", None, 4)):
        file = tmp_path / name / "progress.csv"
        file.parent.mkdir()
        rows = "" if seconds is None else f"5,50,1\n{seconds},100,2\n"
        file.write_text(f"time_total_s,{keys.STEPS},training_iteration\n{rows}")
        os.utime(file, (stamp, stamp))
    assert last_run(tmp_path) == Past(30.0, 100.0, 2.0, tmp_path / "b")


def test_clock():
    assert [clock(s) for s in (0, 61, 3599.6, 36_000)] == ["0:00", "1:01", "1:00:00", "10:00:00"]


def test_progress_is_a_known_kind_and_live_needs_a_terminal():
    with pytest.raises(BadInput, match=r"--progress: Unknown kind of progress: 'jsn'.*'json'"):
        Screen("jsn")
    with pytest.raises(BadInput, match="--progress live needs a terminal"):
        Screen("live")


PROGRAM = """\
import sys, time
from rllib_qatten.experiment.screen import Screen
with Screen() as screen:
    screen.announce("Starting Ray")
    time.sleep(0.4)
    cells = ["563,200 steps", "1,204/s", "85.3% won", "a best trial with a very long label " * 9]
    screen.progress("learning", cells, 0.56, 370.0)
    time.sleep(0.4)
    screen.line("a row")
    print("a note " * 30, file=sys.stderr)
    screen.line("/a/path" * 30)
    time.sleep(0.4)
print("the end")
"""


def on_terminal(columns, program=PROGRAM, **env):
    """What a program prints on a terminal, as its lines between cursor moves."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    environment |= {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)} | env
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=theirs, stdout=theirs, stderr=theirs,
        env=environment,
    )  # fmt: skip
    os.close(theirs)
    output = b""
    try:
        while data := os.read(ours, 65536):
            output += data
    except OSError:  # its end is closed
        pass
    assert process.wait(timeout=60) == 0, output
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.decode())
    return re.split(r"[\r\n]+", text)


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_on_a_terminal_a_line_lives_below_the_rows(columns):
    lines = on_terminal(columns)
    assert any(re.match(r". Starting Ray \(0:00\)", line) for line in lines)
    live = [line for line in lines if " learning " in line]
    assert len(live) > 3
    for line in live:
        assert len(line.rstrip()) < columns
        assert re.search(r"563,200 steps 1,204/s (85.3% won )?6:\d\d left", line)
        assert ("━" in line) == (columns > 60)
    assert "a row" in lines
    assert "the end" in lines
    assert max(len(line) for line in lines if "a note" in line) <= columns
    # The terminal wraps a path, so that it can be copied.
    assert "/a/path" * 30 in lines


def test_without_a_terminal_what_takes_long_is_announced():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "a row\n" + "/a/path" * 30 + "\nthe end\n"
    assert done.stderr.splitlines()[0] == "Starting Ray ..."


def test_a_dumb_terminal_is_none():
    lines = on_terminal(80, TERM="dumb")
    assert "Starting Ray ..." in lines
    assert not any("learning" in line for line in lines)


COUNTING = """\
import time
from rllib_qatten.experiment.screen import Screen
with Screen() as screen:
    count = screen.counting("playing", 20, "games")
    for _ in range(3):
        time.sleep(0.3)
        count(5)
    time.sleep(0.3)
"""


def test_without_a_terminal_a_count_is_announced():
    done = subprocess.run(
        [sys.executable, "-c", COUNTING], capture_output=True, text=True, timeout=60, check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "playing 20 games ...\n")


def test_a_known_number_is_counted_with_the_time_left():
    lines = on_terminal(80, COUNTING)
    assert any(re.match(r". playing 0 of 20 games time left: \?", line) for line in lines)
    assert any(re.match(r". playing 15 of 20 games 0:0\d left ━+", line) for line in lines)
