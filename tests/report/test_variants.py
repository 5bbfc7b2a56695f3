"""Which runs are repetitions: of one game, one algorithm, its settings, and a seed of their own."""

import pytest

from rllib_qatten.report import statistics
from rllib_qatten.report.runs import read_all
from tests.report.reported import rows, write_run


def stamped(folder, seed, wins, ended, steps=None, **config):
    """A run whose last result has a date."""
    made = rows(wins, steps)
    for row in made:
        row |= {"timestamp": ended, "time_total_s": 1.0}
    return write_run(folder, seed=seed, rows=made, config=config)


def test_a_run_made_again_is_no_other_seed(tmp_path):
    """The same command three times: the same numbers, to the bit, and no narrower interval."""
    finals = {1: 0.6, 2: 0.7, 3: 0.8}
    for time in (1, 2, 3):
        for seed, win in finals.items():
            stamped(tmp_path / str(time), seed, [0.1, win], 1000 * time)
    alone, _ = read_all([tmp_path / "1"])
    runs, warnings = read_all([tmp_path])
    assert [(run.name, run.folder.parent.name) for run in runs] == [
        ("seed 1", "3"), ("seed 2", "3"), ("seed 3", "3")  # the newest
    ]  # fmt: skip
    found = statistics.final(runs, "win_rate", "iqm")
    assert found == statistics.final(alone, "win_rate", "iqm")
    assert len(warnings) == 6
    [first] = [w for w in warnings if w.startswith(f"{alone[0].folder}: ")]
    assert first == (
        f"{alone[0].folder}: {runs[0].folder} has the same settings, seed 1, and is as long; "
        "such runs are not independent."
    )


def test_the_longest_run_of_a_seed_stays(tmp_path):
    stamped(tmp_path / "long", 1, [0.1, 0.2, 0.3], 1000)
    stamped(tmp_path / "short", 1, [0.1, 0.2], 2000)
    [run], [warning] = read_all([tmp_path])
    assert run.steps.tolist() == [100, 200, 300]
    assert f"{run.folder} has the same settings, seed 1, and is longer" in warning


def test_a_run_and_what_continues_it_are_one(tmp_path):
    """Stopped after 300 steps, resumed from the checkpoint at 200."""
    stamped(tmp_path / "a", 7, [0.1, 0.2, 0.3], 1000)
    stamped(tmp_path / "b", 7, [0.35, 0.4], 2000, [300, 400])
    [run], [warning] = read_all([tmp_path])
    assert run.steps.tolist() == [100, 200, 300, 400]
    assert run.scores["win_rate"].tolist() == [0.1, 0.2, 0.35, 0.4]
    assert run.scores["return"].tolist() == [20 * win for win in (0.1, 0.2, 0.35, 0.4)]
    assert warning.endswith("seed 7, and continues it; they are shown as one run.")
    assert str(tmp_path / "a") in warning.split(": ")[0]


def test_runs_without_a_seed_are_independent(tmp_path):
    for name in "abc":
        stamped(tmp_path / name, None, [0.1, 0.2], 1000)
    runs, warnings = read_all([tmp_path])
    assert len(runs) == 3
    assert not warnings


def test_variants_of_an_algorithm_are_not_pooled(tmp_path):
    for heads in (1, 4):
        for seed in (1, 2):
            write_run(tmp_path / f"h{heads}", seed=seed, config={"n_heads": heads})
    runs, _ = read_all([tmp_path])
    assert [run.label for run in runs] == ["Qatten (n_heads 1)"] * 2 + ["Qatten (n_heads 4)"] * 2


def test_long_settings_give_way_to_the_experiments_name_and_that_to_a_number(tmp_path):
    schedule = [[0, 1.0], [50000, 0.05], [250000, 0.01]]
    write_run(tmp_path / "short", seed=1, config={"epsilon": schedule[:2]})
    write_run(tmp_path / "long", seed=2, config={"epsilon": schedule})
    assert {run.label for run in read_all([tmp_path])[0]} == {"Qatten (short)", "Qatten (long)"}
    (tmp_path / "a").mkdir()
    (tmp_path / "short").rename(tmp_path / "a" / "same")
    (tmp_path / "b").mkdir()
    (tmp_path / "long").rename(tmp_path / "b" / "same")
    assert {run.label for run in read_all([tmp_path])[0]} == {"Qatten (#1)", "Qatten (#2)"}


def test_other_maps_may_have_other_settings(tmp_path):
    write_run(tmp_path, task="3s5z", config={"lr": 1})
    write_run(tmp_path, task="2s3z", config={"lr": 2})
    assert {run.label for run in read_all([tmp_path])[0]} == {"Qatten"}


PAYOFFS = [[8, -12], [-12, 0]], [[1, 2], [3, 4]]


def play(folder, env, env_config, algorithm="QMIX", seed=1, **config):
    settings = {"env": env, "env_config": env_config, **config}
    return write_run(folder, algorithm, seed=seed, rows=rows([0.5]), config=settings)


def test_other_payoffs_are_another_game(tmp_path):
    """Not variants of the algorithm, ranked against each other."""
    for i, payoff in enumerate(PAYOFFS):
        for algorithm in ("QMIX", "VDN"):
            for seed in (1, 2):
                config = {"payoff": payoff}
                play(tmp_path / str(i), "matrix_game", config, algorithm, seed)
    runs, warnings = read_all([tmp_path])
    assert not warnings
    assert {run.label for run in runs} == {"QMIX", "VDN"}
    assert {task: len(of["QMIX"]) for (_, task), of in statistics.by_task(runs).items()} == {
        "matrix_game (payoff [[8, -12], [-12, 0]])": 2,
        "matrix_game (payoff [[1, 2], [3, 4]])": 2,
    }


@pytest.mark.parametrize(
    ("env", "one", "other", "tasks"),
    [
        ("gymnasium", {"id": "a:A-v0"}, {"id": "a:B-v0"}, {"a:A-v0", "a:B-v0"}),
        ("pettingzoo", {"env": "mpe2.simple_v3"}, {"env": "m.b"}, {"mpe2.simple_v3", "m.b"}),
        ("smac", {"map_name": "3m"}, {"map_name": "3m", "difficulty": "A"},
         {"3m", "3m (difficulty A)"}),
        ("smac", {"map_name": "3m", "replay_dir": "a"}, {"map_name": "3m"}, {"3m"}),
        ("smac", {"map_name": "3m", "engine": "smax"}, {"map_name": "3m"}, {"3m"}),
        ("smac", {"map_name": "3m"}, {"map_name": {"allies": {"marine": 3}}}, {"3m"}),
        ("smac", {"map_name": "3s5z"}, {"map_name": "5z3s"}, {"3s5z"}),
        ("smac", {}, {"map_name": "3s5z"}, {"3s5z"}),
        ("smac", {"map_name": "MMM2"}, {"map_name": "MMM2"}, {"MMM2"}),
        ("my:Env", {"map_name": "3s5z"}, {"map_name": "5z3s"}, {"3s5z", "5z3s"}),
        ("my:Env", {"size": [0] * 50}, {"size": [1] * 50}, {"my:Env (#1)", "my:Env (#2)"}),
    ],
)  # fmt: skip
def test_a_game_is_its_env_with_what_changes_it(tmp_path, env, one, other, tasks):
    play(tmp_path / "1", env, one)
    play(tmp_path / "2", env, other, seed=2)
    runs, _ = read_all([tmp_path])
    assert {run.task for run in runs} == tasks
    numbered = {name for name in tasks if "#" in name}
    assert {name for run in runs for name in run.explained} == numbered


def test_variants_are_named_where_they_vary(tmp_path):
    """And elsewhere what is the same there, so that it is compared over tasks."""
    schedules = [[[0, 1.0], [50000, 0.05], [n, 0.01]] for n in (1, 2, 3)]
    for i, schedule in enumerate(schedules[:2]):
        play(tmp_path / str(i) / "same", "smac", {"map_name": "3m"}, epsilon=schedule)
    play(tmp_path / "2" / "same", "smac", {"map_name": "8m"}, epsilon=schedules[1])
    play(tmp_path / "3" / "same", "smac", {"map_name": "5m"}, epsilon=schedules[2])
    runs, _ = read_all([tmp_path])
    assert {(run.task, run.label) for run in runs} == {
        ("3m", "QMIX (#1)"), ("3m", "QMIX (#2)"), ("8m", "QMIX (#2)"), ("5m", "QMIX"),
    }  # fmt: skip
    for run in runs:
        explained = {run.label: f"epsilon {run.config['epsilon']}"} if "#" in run.label else {}
        assert run.explained == explained


def test_settings_whose_last_names_are_equal_stay_apart(tmp_path):
    play(tmp_path / "a", "smac", {"map_name": "3m"}, a={"x": 1})
    play(tmp_path / "b", "smac", {"map_name": "3m"}, b={"x": 1}, seed=2)
    assert {run.label for run in read_all([tmp_path])[0]} == {"QMIX (a)", "QMIX (b)"}
