"""`rllib report`: the page's numbers against ones worked out from the files alone."""

import csv
import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("matplotlib", reason="the extra report is not installed")
pytest.importorskip("jinja2", reason="the extra report is not installed")

from rllib_qatten.cli import app

STEPS = "num_env_steps_sampled_lifetime"
WINS = "evaluation/env_runners/win_rate"
RETURN = "evaluation/env_runners/episode_return_mean"


def write_run(folder, algorithm, seed, evaluations=8):
    """What Tune leaves of a trial: its settings and a row an iteration."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = [
        {
            "training_iteration": i + 1,
            "time_total_s": 10.0 * (i + 1),
            STEPS: 1000 * (i + 1),
            WINS: round(float(rng.uniform(0, 1)), 4),
            RETURN: round(float(rng.uniform(0, 20)), 4),
        }
        for i in range(evaluations)
    ]
    with (folder / "progress.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    config = {"env": "smac", "env_config": {"map_name": "3m"}, "seed": seed}
    (folder / "params.json").write_text(json.dumps(config))
    (folder / "result.json").write_text(
        "".join(json.dumps(row | {"config": config, "engine": "smax"}) + "\n" for row in rows)
    )
    return [row[WINS] for row in rows]


@pytest.fixture
def runs(tmp_path):
    """Two algorithms, four seeds of each, and their greedy win rates."""
    rates = {}
    for algorithm in ("Qatten", "QMIX"):
        for seed in range(1, 5):
            folder = tmp_path / "runs" / f"{algorithm}_smac_0000{seed}_seed={seed}"
            rates[algorithm, seed] = write_run(folder, algorithm, seed + 10 * (algorithm == "QMIX"))
    return tmp_path / "runs", rates


def report(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def last_five(rates, algorithm):
    return sorted(np.mean(values[-5:]) for (name, _), values in rates.items() if name == algorithm)


@pytest.mark.parametrize("aggregate", ["iqm", "median"])
def test_numbers_are_those_of_the_files(runs, tmp_path, aggregate):
    folder, rates = runs
    numbers = tmp_path / "all.json"
    result = report(folder, "-o", tmp_path / "page", "--aggregate", aggregate, "--json", numbers)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page" / "report.html").read_text()
    for algorithm in ("Qatten", "QMIX"):
        middle = np.mean(last_five(rates, algorithm)[1:3])  # of four both are the middle two's mean
        assert f"{middle:.3f}" in page
    layout = json.loads(numbers.read_text())
    (environment,) = layout.values()
    (task,) = environment.values()
    found = {
        round(run["absolute_metrics"]["win_rate"][0], 6)
        for a in task.values()
        for run in a.values()
    }
    assert found == {round(float(np.mean(values[-5:])), 6) for values in rates.values()}


def test_page_needs_no_network_and_has_its_figures(runs, tmp_path):
    folder, _ = runs
    report(folder, "-o", tmp_path / "page")
    page = (tmp_path / "page" / "report.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    drawn = {path.stem for path in (tmp_path / "page").glob("*.svg")}
    assert drawn == {path.stem for path in (tmp_path / "page").glob("*.png")}
    assert len(drawn) >= 5
    assert page.count("<svg") >= len(drawn)


def test_bad_runs_are_left_out_with_a_word(runs, tmp_path):
    folder, _ = runs
    (folder / "empty").mkdir()
    other = folder / "other"
    other.mkdir()
    (other / "progress.csv").write_text("a,b\n1,2\n")
    cut = next(folder.glob("Qatten*seed=1"))
    text = (cut / "progress.csv").read_text()
    (cut / "progress.csv").write_text(text[: len(text) - 9])  # as while it is written
    result = report(folder, "-o", tmp_path / "page")
    assert result.exit_code == 0, result.output
    assert "other" in result.output
    assert (tmp_path / "page" / "report.html").exists()


def test_nothing_to_report_is_a_users_mistake(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nowhere"):
        result = report(path, "-o", tmp_path / "page")
        assert result.exit_code == 2
        assert str(path) in result.output.replace("\n", "")
        assert not (tmp_path / "page").exists()


def test_one_algorithm_on_one_task_has_nothing_to_be_compared_with(tmp_path):
    write_run(tmp_path / "runs" / "Qatten_smac_00001_seed=1", "Qatten", 1)
    result = report(tmp_path / "runs", "-o", tmp_path / "page")
    assert result.exit_code == 0, result.output
    assert "Over runs and tasks" not in (tmp_path / "page" / "report.html").read_text()
