"""The numbers of a report, each against a computation of its own."""

import functools

import numpy as np
import pytest

from rllib_qatten import keys
from rllib_qatten.report import statistics, timing
from rllib_qatten.report.runs import read_all
from rllib_qatten.report.statistics import AGGREGATES
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


def test_few_runs_have_students_interval_or_their_range(tmp_path):
    three = [0.62, 0.7, 0.66]
    found = statistics.final(runs_of(tmp_path / "3", three), "win_rate", "iqm")
    half = 4.302653 * np.std(three, ddof=1) / 3**0.5  # the table's quantile for two degrees
    assert (found.mean, found.kind) == (pytest.approx(0.66), "student")
    assert (found.low, found.high) == pytest.approx((0.66 - half, 0.66 + half), rel=1e-6)
    wide = statistics.final(runs_of(tmp_path / "wide", [0.1, 0.9, 1.0]), "win_rate", "iqm")
    assert (wide.low, wide.high) == (0, 1)
    for finals, aggregate in (([0.4, 0.6], "iqm"), ([0.5] * 5, "iqm"), ([0.1] * 5, "median")):
        runs = runs_of(tmp_path / f"{len(finals)}{aggregate}", finals)
        found = statistics.final(runs, "win_rate", aggregate)
        assert found.kind == "range"
        assert (found.low, found.high) == (min(finals), max(finals))


@pytest.mark.parametrize("rate", [0.02, 0.5, 0.98])
@pytest.mark.parametrize(("runs", "aggregates"), [(3, ["iqm"]), (5, ["iqm"]), (10, AGGREGATES)])
def test_intervals_over_runs_cover_the_truth_as_often_as_they_say(runs, aggregates, rate):
    """Within 2 %, and the noise of 4000 samples; a run's number is that of 500 games."""
    games, samples = 500, 4000
    values = np.random.default_rng(0).binomial(games, rate, (samples, runs)) / games
    for aggregate in aggregates:
        _, low, high = statistics.over_runs(values, aggregate, 0.0, 1.0)
        known = np.isfinite(low)  # not of runs that are all alike
        assert known.mean() > 0.95
        covered = ((low <= rate + 1e-9) & (rate - 1e-9 <= high))[known].mean()
        assert covered == pytest.approx(0.95, abs=0.02 + 0.007)


@pytest.mark.parametrize("runs", [4, 5, 6, 7, 8, 9, 12, 16, 20])
def test_intervals_over_runs_cover_the_truth_of_normal_and_of_uniform_scores(runs):
    """Within 2 %, and the noise of 40,000 samples."""
    rng, samples = np.random.default_rng(runs), 40_000
    for values in (rng.normal(size=(samples, runs)), rng.uniform(-1, 1, (samples, runs))):
        _, low, high = statistics.over_runs(values, "iqm")
        covered = ((low <= 0) & (high >= 0)).mean()
        assert covered == pytest.approx(0.95, abs=0.02 + 0.003)


@pytest.mark.parametrize("runs", [3, 5, 10])
def test_a_profiles_interval_covers_the_share_of_runs_on_unlike_tasks(runs):
    """By the probability of every number of runs above a threshold, on three tasks."""
    rates = np.repeat([0.02, 0.5, 0.98], runs)
    chances = functools.reduce(np.convolve, [[1 - rate, rate] for rate in rates])
    covered = 0.0
    for hits, chance in enumerate(chances):
        scores = np.arange(3 * runs).reshape(runs, 3) < hits
        found = statistics.profiles({"Qatten": scores.astype(float)})["Qatten"]
        assert found.center[1] == pytest.approx(hits / (3 * runs))
        covered += chance * (found.low[1] <= rates.mean() <= found.high[1])
    assert 0.93 <= covered <= 1 + 1e-9


@pytest.mark.parametrize("rates", [(0.02, 0.02), (0.5, 0.5), (0.98, 0.98), (0.02, 0.5, 0.7, 0.98)])
@pytest.mark.parametrize("runs", [5, 10])
def test_the_bootstrap_over_tasks_covers_the_truth_as_often_as_it_says(runs, rates):
    g, samples = np.random.default_rng(0), 300
    iqm = statistics._over(AGGREGATES["iqm"])
    drawn = [g.binomial(500, rate, (samples, runs)) / 500 for rate in rates]
    truth = iqm(*(g.binomial(500, rate, 100_000) / 500 for rate in rates), axis=-1)
    found = statistics.bootstrap(np.zeros(samples), iqm, *drawn)
    covered = ((found.low <= truth) & (truth <= found.high)).mean()
    assert covered == pytest.approx(0.95, abs=0.02 + 0.025)  # and the noise of 300 samples


@pytest.mark.parametrize("rates", [np.linspace(0.02, 0.98, 6), np.full(6, 0.5)], ids=["all", "0.5"])
def test_three_runs_of_each_of_six_tasks_have_an_interval_that_holds(rates):
    """Seeds differ by more than the noise of their games."""
    g, samples = np.random.default_rng(1), 300

    def draw(rate, shape):
        many = rate * (1 - rate) / 0.06**2 - 1
        return g.binomial(500, g.beta(rate * many, (1 - rate) * many, shape)) / 500

    iqm = statistics._over(AGGREGATES["iqm"])
    truth = iqm(*(draw(rate, 50_000) for rate in rates), axis=-1)
    drawn = [draw(rate, (samples, 3)) for rate in rates]
    found = statistics.bootstrap(np.zeros(samples), iqm, *drawn)
    covered = ((found.low <= truth) & (truth <= found.high)).mean()
    assert covered == pytest.approx(0.95, abs=0.02 + 0.025)  # and the noise of 300 samples
    for fewer in (drawn[:5], [*drawn[:5], drawn[5][:, :2]]):
        assert np.isnan(statistics.bootstrap(np.zeros(samples), iqm, *fewer).low).all()


def test_the_number_over_tasks_is_that_of_all_runs():
    values = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6], [0.5, 0.5]])  # [R, M]
    found = statistics.over_tasks({"Qatten": values, "VDN": values[:2]}, "iqm")
    middle = sorted(values.ravel())[2:8]  # of ten runs, without a quarter at each end
    assert found["Qatten"].mean == pytest.approx(np.mean(middle))
    assert found["Qatten"].kind == "bootstrap"
    assert found["Qatten"].low < found["Qatten"].mean < found["Qatten"].high
    assert (found["VDN"].mean, found["VDN"].kind) == (pytest.approx(0.5), "none")


def test_a_single_run_has_no_interval(tmp_path):
    found = statistics.final(runs_of(tmp_path, [0.4]), "win_rate", "iqm")
    assert (found.mean, found.kind) == (0.4, "none")
    assert np.isnan([found.low, found.high]).all()


def test_curves_go_as_far_as_all_runs_and_between_evaluations_on_the_line(tmp_path):
    write_run(tmp_path, seed=1, rows=rows([0.0, 0.2, 0.4], [100, 200, 300]))
    write_run(tmp_path, seed=2, rows=rows([0.1, 0.5, 0.5, 0.5], [50, 150, 250, 350]))
    found = statistics.curve(read_all([tmp_path])[0], "win_rate", "iqm")
    assert found.x.tolist() == [100, 200, 300]
    np.testing.assert_allclose(found.center, [(0 + 0.3) / 2, (0.2 + 0.5) / 2, (0.4 + 0.5) / 2])
    assert np.isnan([found.low, found.high]).all()  # of two runs
    write_run(tmp_path, seed=3, rows=rows([0.2, 0.2, 0.2], [100, 200, 300]))
    found = statistics.curve(read_all([tmp_path])[0], "win_rate", "iqm")
    assert (found.low < found.center).all()
    assert (found.center < found.high).all()
    assert (found.low >= 0).all()


def test_runs_without_common_steps_have_no_curve(tmp_path):
    write_run(tmp_path, seed=1, rows=rows([0.0], [100]))
    write_run(tmp_path, seed=2, rows=rows([0.1], [200]))
    assert statistics.curve(read_all([tmp_path])[0], "win_rate", "iqm") is None


def test_profiles_count_the_runs_above(tmp_path):
    for task, finals in (("3m", [0.11, 0.51, 0.91]), ("8m", [0.71, 0.71, 0.21])):
        runs_of(tmp_path / task, finals, task)
    scores = statistics.final_scores(statistics.comparison(read_all([tmp_path])[0]))
    found = statistics.profiles(scores)["Qatten"]
    for threshold, share in ((0.0, 6), (0.2, 5), (0.5, 4), (0.7, 3), (0.9, 1), (1.0, 0)):
        [at] = np.flatnonzero(np.isclose(found.x, threshold))
        assert found.center[at] == pytest.approx(share / 6)
    every = found.center == 1
    assert (found.low[every] < 1).all()  # six of six are not all there could be
    assert (found.high[found.center == 0] > 0).all()


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


def test_tasks_with_few_runs_do_not_leave_out_the_runs_of_others(tmp_path):
    for algorithm in ("Qatten", "VDN"):
        for task, seeds in (("3m", 3), ("8m", 3), ("27m_vs_30m", 1)):
            for seed in range(seeds):
                write_run(tmp_path / task, algorithm, task, seed, rows([0.5]))
    compared = statistics.comparison(read_all([tmp_path])[0])
    assert [task for _, task in compared.tasks] == ["3m", "8m"]
    assert all(len(runs) == 3 for runs in compared.runs["VDN"].values())
    assert compared.left_out == ["27m_vs_30m: not all of these algorithms have 3 runs on it"]


def test_tasks_that_one_algorithm_alone_played_do_not_hide_a_comparison(tmp_path):
    for task in ("3m", "8m", "2s3z", "25m"):
        write_run(tmp_path, "Qatten", task, rows=rows([0.5]))
    write_run(tmp_path, "VDN", "3m", rows=rows([0.5]))
    compared = statistics.comparison(read_all([tmp_path])[0])
    assert list(compared.runs) == ["Qatten", "VDN"]
    assert compared.tasks == [("smac", "3m")]


def test_runs_beside_which_others_ran_are_known(tmp_path):
    """By the times of their results, or else by the dates of their folders."""
    for seed, began, took in ((1, 0, 100), (2, 50, 100), (3, 149, 40), (4, 1000, 10)):
        made = rows([0.5, 0.5])
        for row, passed in zip(made, (took / 2, took), strict=True):
            row |= {"timestamp": 1_700_000_000 + began + passed, "time_total_s": passed}
        write_run(tmp_path / "stamped", seed=seed, rows=made)
    runs, _ = read_all([tmp_path / "stamped"])
    assert timing.alone(runs) == [False, False, True, True]  # a second of forty does not count
    runs[1].about["machine"], runs[0].about["machine"] = "one", "another"
    assert timing.alone(runs)[:2] == [True, True]
    for seed, name in enumerate(("1_2026-11-22_23-42-06", "2_2026-11-22_23-42-36", "3")):
        made = rows([0.5])
        made[0]["time_total_s"] = 60
        trial = write_run(tmp_path / "named", seed=seed, rows=made)
        trial.rename(tmp_path / "named" / f"Qatten_smac_{name}")
    assert timing.alone(read_all([tmp_path / "named"])[0]) == [False, False, None]


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
