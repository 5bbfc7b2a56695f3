"""The report of whole runs says what their CSV files say, recomputed here from the raw text."""

import csv
import json
import re
from pathlib import Path

import pytest

from rllib_qatten import keys
from tests.report.reported import CURVES, rows, write_run
from tests.report.test_page import Tables

pages = pytest.importorskip("rllib_qatten.report.page", reason="the extra report is missing")


@pytest.fixture(params=["made up", pytest.param("compare_3s5z", marks=pytest.mark.slow)])
def runs(request, tmp_path):
    """A folder of trials: one made up here, and runs that are kept in docs/curves."""
    if request.param != "made up":
        return CURVES / request.param
    for seed, win in enumerate([0.1, 0.4, 0.5, 0.7, 0.9]):
        for algorithm, factor in (("Qatten", 1), ("QMIX", 0.5)):
            wins = [0.0, 0.05, *(factor * win + 0.01 * i for i in range(6))]
            write_run(tmp_path / algorithm, algorithm, seed=seed, rows=rows(wins))
    return tmp_path


def interquartile_mean(values):
    """Mean of what is left without the lowest and the highest quarter, in whole runs."""
    cut = len(values) // 4
    kept = sorted(values)[cut : len(values) - cut]
    return sum(kept) / len(kept)


def students_interval(values, share):
    """Of three runs' mean, or of five runs' middle three, by the quantiles for two degrees."""
    n, cut = len(values), len(values) // 4
    middle = values[cut : n - cut]
    assert len(middle) == 3
    winsorized = [min(max(v, middle[0]), middle[-1]) for v in values]
    mean = sum(winsorized) / n
    spread = (sum((v - mean) ** 2 for v in winsorized) / (n - 1)) ** 0.5
    half = (5.642778 if cut else 4.302653) * spread * n**0.5 / len(middle)
    center = sum(middle) / len(middle)
    low, high = center - half, center + half
    return (max(low, 0), min(high, 1)) if share else (low, high)


def test_every_number_is_that_of_the_raw_files(runs, tmp_path):
    trials = {}
    for file in sorted(runs.rglob("progress.csv")):
        with open(file) as text:
            lines = [line for line in csv.DictReader(text) if line[keys.GREEDY_RETURN]]
        last = lines[-5:]
        settings = json.loads((file.parent / "params.json").read_text())
        command = file.parent / "command.txt"
        trials[str(file.parent.resolve())] = {
            "algorithm": file.parent.name.split("_")[0],
            "seed": settings["seed"],
            "steps": float(lines[-1][keys.STEPS]),
            "win rate": sum(float(line[keys.GREEDY_WINS]) for line in last) / 5,
            "return": sum(float(line[keys.GREEDY_RETURN]) for line in last) / 5,
            "command": command.read_text().strip() if command.exists() else None,
        }
    warnings, page = pages.write([runs], tmp_path / "out", "iqm", None)
    assert warnings == []
    final, each = Tables(Path(page).read_text()).tables
    algorithms = {trial["algorithm"] for trial in trials.values()}
    assert {row[1] for row in final[1:]} == algorithms
    assert len(algorithms) > 1
    best = {}
    for _, algorithm, win, wins, each_win, reward, rewards, each_reward, number, _ in final[1:]:
        mine = [trial for trial in trials.values() if trial["algorithm"] == algorithm]
        assert int(number) == len(mine)
        best[algorithm] = float(win)
        for name, cell, interval, shown, half in (
            ("win rate", win, wins, each_win, 0.00051),
            ("return", reward, rewards, each_reward, 0.0051),
        ):
            values = sorted(trial[name] for trial in mine)
            assert float(cell) == pytest.approx(interquartile_mean(values), abs=half)
            low, high = map(float, interval.split(" .. "))
            assert (low, high) == pytest.approx(
                students_interval(values, name == "win rate"), abs=half
            )
            wanted = values if len(values) < 5 else [values[0], values[-1]]
            found = re.split(r", | \.\. ", shown)
            assert list(map(float, found)) == pytest.approx(wanted, abs=half)
    assert list(best.values()) == sorted(best.values(), reverse=True)
    assert len(each) == 1 + len(trials)
    for _, algorithm, run, win, reward, steps, _, _, date, *_, command, folder in each[1:]:
        assert date
        trial = trials.pop(folder)
        assert (algorithm, run) == (trial["algorithm"], f"seed {trial['seed']}")
        assert float(steps.replace(",", "")) == trial["steps"]
        assert float(win.strip("%")) in (
            pytest.approx(trial["win rate"], abs=0.00051),
            pytest.approx(100 * trial["win rate"], abs=0.051),
        )
        assert float(reward) == pytest.approx(trial["return"], abs=0.0051)
        if trial["command"]:
            assert command == trial["command"]
    assert not trials
