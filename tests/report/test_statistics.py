"""The numbers of a report, each against a computation of its own."""

import itertools

import numpy as np
import pytest

from rllib_qatten import keys
from rllib_qatten.report import statistics, timing
from rllib_qatten.report.runs import read_all
from tests.report.reported import rows, write_run


def runs_of(folder, finals, task="3m", algorithm="Qatten"):
    """A run of one evaluation for each number."""
    for seed, win in enumerate(finals):
        write_run(folder / algorithm, algorithm, task, seed, rows([win]))
    return [r for r in read_all([folder])[0] if (r.task, r.label) == (task, algorithm)]


def test_interquartile_mean_and_median(tmp_path):
    runs = runs_of(tmp_path, [0.9, 0.0, 0.3, 0.4, 0.6, 0.5, 0.1, 1.0])
    middle = sorted([0.9, 0.0, 0.3, 0.4, 0.6, 0.5, 0.1, 1.0])[2:6]
    assert statistics.final(runs, "win_rate", "iqm").mean == pytest.approx(sum(middle) / 4)
    assert statistics.final(runs, "win_rate", "median").mean == pytest.approx(0.45)


def test_the_interval_is_that_of_all_resamples(tmp_path):
    finals = [0.1, 0.32, 0.5, 0.94]
    found = statistics.final(runs_of(tmp_path, finals), "win_rate", "iqm")
    # Of four numbers, the interquartile mean is that of the middle two.
    every = [sum(sorted(draw)[1:3]) / 2 for draw in itertools.product(finals, repeat=4)]
    low, high = np.percentile(every, [2.5, 97.5])
    assert found.low == pytest.approx(low, abs=0.03)
    assert found.high == pytest.approx(high, abs=0.03)
    again = statistics.final(read_all([tmp_path])[0], "win_rate", "iqm")
    assert (again.low, again.high) == (found.low, found.high)


def test_a_single_run_has_no_interval(tmp_path):
    found = statistics.final(runs_of(tmp_path, [0.4]), "win_rate", "iqm")
    assert found.mean == 0.4
    assert np.isnan([found.low, found.high]).all()


def test_curves_go_as_far_as_all_runs_and_between_evaluations_on_the_line(tmp_path):
    write_run(tmp_path, seed=1, rows=rows([0.0, 0.2, 0.4], [100, 200, 300]))
    write_run(tmp_path, seed=2, rows=rows([0.1, 0.5, 0.5, 0.5], [50, 150, 250, 350]))
    found = statistics.curve(read_all([tmp_path])[0], "win_rate", "iqm")
    assert found.x.tolist() == [100, 200, 300]
    np.testing.assert_allclose(found.center, [(0 + 0.3) / 2, (0.2 + 0.5) / 2, (0.4 + 0.5) / 2])
    assert (found.low <= found.center).all()
    assert (found.center <= found.high).all()


def test_runs_without_common_steps_have_no_curve(tmp_path):
    write_run(tmp_path, seed=1, rows=rows([0.0], [100]))
    write_run(tmp_path, seed=2, rows=rows([0.1], [200]))
    assert statistics.curve(read_all([tmp_path])[0], "win_rate", "iqm") is None


def test_probability_of_improvement_counts_pairs_on_the_same_task(tmp_path):
    finals = {"3m": ([0.1, 0.5, 0.9], [0.5, 0.4]), "8m": ([0.7, 0.7, 0.2], [0.1, 0.3])}
    for task, (ours, theirs) in finals.items():
        runs_of(tmp_path / task, ours, task, "Qatten")
        runs_of(tmp_path / task, theirs, task, "VDN")
    compared = statistics.comparison(read_all([tmp_path])[0])
    assert compared.tasks == [("smac", "3m"), ("smac", "8m")]
    found = statistics.improvements(statistics.final_scores(compared))
    shares = [
        np.mean([(x > y) + 0.5 * (x == y) for x in ours for y in theirs])
        for ours, theirs in finals.values()
    ]
    assert found["Qatten", "VDN"].mean == pytest.approx(np.mean(shares))
    assert found["VDN", "Qatten"].mean == pytest.approx(1 - np.mean(shares))
    assert found["Qatten", "VDN"].low < np.mean(shares) < found["Qatten", "VDN"].high
    assert found["VDN", "Qatten"].high == pytest.approx(1 - found["Qatten", "VDN"].low)


def test_profiles_count_the_runs_above(tmp_path):
    for task, finals in (("3m", [0.11, 0.51, 0.91]), ("8m", [0.71, 0.71, 0.21])):
        runs_of(tmp_path / task, finals, task)
    scores = statistics.final_scores(statistics.comparison(read_all([tmp_path])[0]))
    found = statistics.profiles(scores)["Qatten"]
    for threshold, share in ((0.0, 6), (0.2, 5), (0.5, 4), (0.7, 3), (0.9, 1), (1.0, 0)):
        [at] = np.flatnonzero(np.isclose(found.x, threshold))
        assert found.center[at] == pytest.approx(share / 6)
    assert found.low.min() == 0
    assert found.high.max() == 1


def test_sample_efficiency_joins_tasks(tmp_path):
    for task, wins in (("3m", [0.0, 1.0]), ("8m", [0.2, 0.4])):
        for seed in (1, 2):
            write_run(tmp_path / task, "Qatten", task, seed, rows(wins))
    [found] = statistics.sample_efficiency(
        statistics.comparison(read_all([tmp_path])[0]), "iqm"
    ).values()
    assert (found.x[0], found.x[-1]) == (100, 200)
    # Of four equal pairs, the middle two are one of each.
    np.testing.assert_allclose(found.center[[0, -1]], [0.1, 0.7])


def test_returns_are_scaled_by_the_tasks_ends(tmp_path):
    for algorithm, returns in (("Qatten", [-10.0, 30.0]), ("VDN", [0.0, 10.0])):
        made = rows([0.0] * 2, returns=returns)
        for row in made:
            row.pop("evaluation/env_runners/win_rate")
        write_run(tmp_path, algorithm, rows=made)
    scores = statistics.final_scores(statistics.comparison(read_all([tmp_path])[0]))
    # The final number is the mean of both evaluations; -10 is 0 and 30 is 1.
    assert {label: values.tolist() for label, values in scores.items()} == {
        "Qatten": [[0.5]],
        "VDN": [[(10 / 40 + 20 / 40) / 2]],
    }


def test_only_full_tables_are_compared_and_the_rest_is_named(tmp_path):
    for algorithm, tasks in (("Qatten", ("3m", "8m")), ("VDN", ("3m",)), ("QMIX", ("3m", "8m"))):
        for task in tasks:
            write_run(tmp_path, algorithm, task, rows=rows([0.5]))
    write_run(tmp_path, "QMIX", "8m", 2, rows([0.5]))
    compared = statistics.comparison(read_all([tmp_path])[0])
    assert list(compared.runs) == ["QMIX", "Qatten"]
    assert [task for _, task in compared.tasks] == ["3m", "8m"]
    assert compared.left_out == [
        "VDN: it has no runs on some of them",
        "QMIX: 1 of its runs, as other tasks have fewer",
    ]
    assert all(len(runs) == 1 for runs in compared.runs["QMIX"].values())


def test_tasks_that_one_algorithm_alone_played_do_not_hide_a_comparison(tmp_path):
    for task in ("3m", "8m", "2s3z", "25m"):
        write_run(tmp_path, "Qatten", task, rows=rows([0.5]))
    write_run(tmp_path, "VDN", "3m", rows=rows([0.5]))
    compared = statistics.comparison(read_all([tmp_path])[0])
    assert list(compared.runs) == ["Qatten", "VDN"]
    assert compared.tasks == [("smac", "3m")]


def test_the_time_is_split_by_the_timers(tmp_path):
    made = rows([0.0, 0.5, 0.5])
    for i, row in enumerate(made):
        row |= {"time_this_iter_s": 100 if i == 0 else 10, keys.NUM_UPDATES: 20 * (i + 1)}
        row |= {"num_training_step_calls_per_iteration": 5, keys.STEPS: 1000 * (i + 1)}
        row |= {"timers/env_runner_sampling_timer": 9 if i == 0 else 0.4}
        row |= {"timers/learner_update_timer": 0.2, "timers/synch_weights": 0.1}
        row |= {"timers/replay_buffer_sampling_timer": 0.05, "timers/evaluation_iteration": 1}
    write_run(tmp_path, rows=made)
    [run], _ = read_all([tmp_path])
    assert timing.steps_per_second(run) == pytest.approx(2000 / 20)
    assert timing.time_split(run) == pytest.approx(
        {"playing": 0.2, "learning": 0.45, "replay": 0.1, "evaluation": 0.1, "other": 0.15}
    )
