"""What is read of runs, whole or not."""

import json
import subprocess

import numpy as np
import pytest

import rllib_qatten
from rllib_qatten import keys
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.record import commit, record
from rllib_qatten.keys import COMMAND_FILE
from rllib_qatten.report import marl_eval
from rllib_qatten.report.runs import read_all
from tests.report.reported import kept, rows, write_run


def test_a_run_is_what_its_files_say(tmp_path):
    trial = write_run(tmp_path / "exp", seed=2)
    (trial / COMMAND_FILE).write_text("rllib train -f a.yaml\n")
    checkpoint = trial / "checkpoint_000003"
    checkpoint.mkdir()
    about = {"ray_version": "2.60.0", "rllib_qatten_version": "0.1"}
    (checkpoint / "rllib_checkpoint.json").write_text(json.dumps(about))
    [run], warnings = read_all([tmp_path])
    assert not warnings
    assert (run.label, run.environment, run.task) == ("Qatten", "smax (jaxmarl 0.2.0)", "3s5z")
    assert (run.name, run.about["command"]) == ("seed 2", "rllib train -f a.yaml")
    assert run.about["versions"] == "rllib_qatten 0.1, ray 2.60.0"
    assert run.about["commit"] == run.about["machine"] == run.about["date"] == "not recorded"
    trial.rename(trial.with_name("Qatten_smac_1_seed=2_2026-11-22_22-58-19"))  # as Tune names it
    [run], _ = read_all([tmp_path])
    assert run.about["date"] == "2026-11-22 22:58:19"
    whole = kept("Qatten", "3s5z", 2)
    assert run.steps.tolist() == [float(row[keys.STEPS]) for row in whole]
    assert run.scores["win_rate"].tolist() == [float(row[keys.GREEDY_WINS]) for row in whole]
    last = [float(row[keys.GREEDY_RETURN]) for row in whole][-5:]
    assert run.final("return") == pytest.approx(sum(last) / 5)


def test_a_runs_record_says_how_it_was_made(tmp_path):
    made = record("rllib train -f a.yaml")
    trial = write_run(tmp_path)
    (trial / keys.RECORD_FILE).write_text(json.dumps(made))
    [run], warnings = read_all([tmp_path])
    assert not warnings
    assert run.about["date"] == made["date"]
    assert f"rllib_qatten {rllib_qatten.__version__}, python 3." in run.about["versions"]
    assert "logical cores" in run.about["machine"]


@pytest.mark.parametrize(
    ("folder", "env", "recorded", "algorithm"),
    [
        ("My_QMIX_smac_0_1", "smac", None, "My_QMIX"),
        ("My_QMIX_my_pkg_MyEnv_0_1", "my_pkg:MyEnv", None, "My_QMIX"),
        ("My_QMIX_MyEnv_0_1", "<class 'my.MyEnv'>", None, "My"),
        ("My_QMIX_MyEnv_0_1", "<class 'my.MyEnv'>", "My_QMIX", "My_QMIX"),
        ("smac_0_1", "smac", "My_QMIX", "My_QMIX"),
    ],
)
def test_an_algorithm_is_known_by_its_whole_name(tmp_path, folder, env, recorded, algorithm):
    """From the record, or from the name that Tune gave the folder."""
    trial = write_run(tmp_path, rows=rows([0.5]), config={"env": env})
    trial = trial.rename(tmp_path / folder)
    if recorded:
        (trial / keys.RECORD_FILE).write_text(json.dumps({"algorithm": recorded}))
    [run], _ = read_all([tmp_path])
    assert run.label == run.algorithm == algorithm


def test_runs_of_two_algorithms_are_never_one(tmp_path):
    """As a continued run, and as a copy."""
    write_run(tmp_path, "My_QMIX", rows=rows([0.1, 0.2], [100, 200]))
    write_run(tmp_path, "My_VDN", rows=rows([0.3, 0.4], [200, 300]))
    write_run(tmp_path, "My_VDN2", rows=rows([0.3, 0.4], [200, 300]))
    runs, warnings = read_all([tmp_path])
    assert not warnings
    assert [(run.label, run.steps.tolist()) for run in runs] == [
        ("My_QMIX", [100, 200]), ("My_VDN", [200, 300]), ("My_VDN2", [200, 300]),
    ]  # fmt: skip


def test_a_commit_is_that_of_the_folder_and_its_changes(tmp_path):
    assert commit(tmp_path) is None
    author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for words in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    first = commit(tmp_path)
    assert len(first) == 40
    (tmp_path / "a").touch()
    assert commit(tmp_path) == first  # a file that git does not know
    subprocess.run(["git", "-C", tmp_path, "add", "a"], check=True)
    assert commit(tmp_path) == f"{first} with changes"


def test_a_cut_line_is_left_out_with_a_warning(tmp_path):
    file = write_run(tmp_path, rows=rows([0.1, 0.2, 0.3])) / "progress.csv"
    whole = file.read_bytes().rstrip()
    for end in range(whole.rindex(b"\n") + 2, len(whole) + 1):
        file.write_bytes(whole[:end])
        [run], [warning] = read_all([tmp_path])
        assert run.scores["win_rate"].tolist() == [0.1, 0.2]
        assert (
            warning == f"{file.parent}: progress.csv: the last line is cut short and was skipped."
        )


def test_broken_lines_cost_only_themselves(tmp_path):
    trial = write_run(tmp_path, rows=rows([0.1, 0.2, 0.3]))
    lines = (trial / "progress.csv").read_text().splitlines()
    (trial / "progress.csv").write_text("\n".join([*lines[:2], "1,\0", *lines[3:], ""]))
    [run], [warning] = read_all([tmp_path])
    assert run.scores["win_rate"].tolist() == [0.1, 0.3]
    assert "progress.csv: 1 broken line was skipped" in warning
    # result.json has all columns, so it goes first; here it is no better.
    (trial / "result.json").write_text('not json\n[3]\n{"a"')
    [run], warnings = read_all([tmp_path])
    assert run.scores["win_rate"].tolist() == [0.1, 0.3]
    assert "result.json: 2 broken lines" in " ".join(warnings)


def test_a_stray_quote_costs_its_own_line(tmp_path):
    """For CSV, all up to the next quote is one field: here seven lines and the rest of the file."""
    wins = [i / 20 for i in range(12)]
    file = write_run(tmp_path, rows=rows(wins)) / "progress.csv"
    lines = file.read_text().splitlines()
    for quotes, read in (([3], wins[:2] + wins[3:]), ([3, 10], wins[:2] + wins[3:9] + wins[10:])):
        broken = [f'"{line}' if i in quotes else line for i, line in enumerate(lines)]
        file.write_text("\n".join([*broken, ""]))
        [run], [warning] = read_all([tmp_path])
        assert run.scores["win_rate"].tolist() == read
        many = "1 broken line was" if len(quotes) == 1 else "2 broken lines were"
        assert warning.endswith(f"progress.csv: {many} skipped.")
    file.write_text("\n".join([f"{lines[0]},note", *(f'{line},"a\nb"' for line in lines[1:]), ""]))
    assert len(read_all([tmp_path])[0][0].steps) == len(wins)  # whole fields may hold lines


@pytest.mark.parametrize("content", ['{"env": ', "[1]", None])
def test_a_run_whose_settings_cannot_be_read_is_left_out(tmp_path, content):
    """It would be a run of no known task, beside those of its own."""
    bad = write_run(tmp_path, seed=1, rows=rows([0.5])) / "params.json"
    bad.unlink()
    if content is not None:
        bad.write_text(content)
    write_run(tmp_path, seed=2, rows=rows([0.5]))
    [run], [warning] = read_all([tmp_path])
    assert run.name == "seed 2"
    assert warning.startswith(f"{bad.parent}: params.json cannot be read: ")
    assert warning.endswith("; so its task, settings and seed are unknown.")


def test_win_rates_that_cannot_be_are_left_out(tmp_path):
    trial = write_run(tmp_path, rows=rows([0.1, 7.5, 0.3, -1, 2, 3], returns=[200.0] * 6))
    [run], [warning] = read_all([tmp_path])
    assert run.scores["win_rate"].tolist() == [0.1, 0.3]
    assert warning == f"{trial}: evaluations of a win rate beyond 0 to 1: 7.5, -1, 2 and 1 more."


def test_result_json_has_what_the_first_row_of_progress_csv_lacked(tmp_path):
    trial = write_run(tmp_path, rows=[{keys.STEPS: 100}, {keys.STEPS: 200}])
    nested = [
        {keys.STEPS: 100, "training_iteration": 1},
        {keys.STEPS: 200, "training_iteration": 2,
         "evaluation": {"env_runners": {"episode_return_mean": 7.5}}, "config": {"env": "a"}},
    ]  # fmt: skip
    (trial / "result.json").write_text("".join(json.dumps(row) + "\n" for row in nested))
    [run], _ = read_all([tmp_path])
    assert run.scores.keys() == {"return"}
    assert (run.steps.tolist(), run.scores["return"].tolist()) == ([200], [7.5])
    assert np.isnan(run.final("win_rate"))


def test_settings_that_changed_while_it_trained_are_told(tmp_path):
    """As population based training changes them; params.json holds the last ones."""
    made = rows([0.1, 0.2, 0.3])
    trial = write_run(tmp_path, rows=made, config={"lr": 0.1})
    of_rows = [{"lr": lr, "env": "smac", "other": i} for i, lr in enumerate((0.2, 0.3, 0.1))]
    lines = [json.dumps(row | {"config": of}) for row, of in zip(made, of_rows, strict=True)]
    (trial / "result.json").write_text("\n".join([*lines, ""]))
    [_], [warning] = read_all([tmp_path])
    assert warning == (
        f"{trial}: its settings changed while it trained, as population based training does: "
        "lr 0.2 -> 0.3 -> 0.1; it is shown under the last ones."
    )


def test_a_restored_trial_counts_what_it_played_last(tmp_path):
    again = rows([0.1, 0.2, 0.3, 0.4])
    again += [again[2] | {"training_iteration": 2, keys.STEPS: 200, keys.GREEDY_RETURN: 19.0}]
    write_run(tmp_path, rows=again)
    [run], _ = read_all([tmp_path])
    assert run.steps.tolist() == [100, 200]
    assert run.scores["return"].tolist() == [2.0, 19.0]


def test_any_run_of_tune(tmp_path):
    columns = {"timesteps_total": 1000, "episode_reward_mean": 3.0, "training_iteration": 1}
    write_run(tmp_path, "PPO", "3m", rows=[columns])
    [run], [warning] = read_all([tmp_path])
    assert (run.label, run.environment, run.games) == ("PPO, exploring", "smac", "exploring")
    assert run.final("return") == 3.0
    assert "no evaluations: its exploring games are shown" in warning


@pytest.mark.parametrize(
    ("config", "own", "games"),
    [
        ({}, True, "greedy"),  # this package's algorithms, by default
        ({"evaluation_config": {"explore": True}}, True, "evaluation"),
        ({}, False, "evaluation"),  # RLlib's other algorithms explore by default
        ({"evaluation_config": {"explore": False}}, False, "greedy"),
    ],
)
def test_games_are_called_greedy_only_where_they_are(tmp_path, config, own, games):
    made = rows([0.5, 0.6])
    for row in made:
        row |= {keys.ENGINE: "smax (jaxmarl 0.2.0)"} if own else {}
    write_run(tmp_path, "Any", rows=made, config=config)
    [run], _ = read_all([tmp_path])
    assert run.games == games


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "no such folder"),
        (lambda folder: folder.mkdir(), "no run in it"),
        (lambda folder: folder.write_text(""), "is a file; give the run's folder"),
        (lambda folder: write_run(folder, rows=[{keys.STEPS: 3}]), "neither win rates nor returns"),
        (lambda folder: write_run(folder, rows=[{"loss": 3}]), "no column of env steps"),
        (lambda folder: write_run(folder, rows=rows([0.5]))
         .joinpath("progress.csv").write_text(""), "no result yet"),
        (lambda folder: write_run(folder, rows=rows([float("nan")])), "neither win rates nor"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_a_warning_beside_the_rest(tmp_path, make, message):
    bad, good = tmp_path / "bad", tmp_path / "good"
    make(bad)
    with pytest.raises(BadInput, match=message):
        read_all([bad])
    write_run(good, rows=rows([0.5]))
    [_], [warning] = read_all([bad, good])
    assert message in warning
    assert str(bad) in warning


def test_marl_evals_layout(tmp_path):
    for seed, wins in ((1, [0.0, 0.5]), (2, [0.25])):
        write_run(tmp_path / "a", seed=seed, rows=rows(wins))
    for i in (3, 4):  # seeds that look alike
        write_run(tmp_path / "b", seed=i, rows=rows([1.0]), config={"seed": "x" * 200 + str(i)})
    content = json.loads(json.dumps(marl_eval.layout(read_all([tmp_path])[0])))
    assert content["smac"]["3s5z"]["Qatten"]["seed_1"] == {
        "step_0": {"step_count": 100, "win_rate": [0.0], "mean_episode_return": [0.0]},
        "step_1": {"step_count": 200, "win_rate": [0.5], "mean_episode_return": [10.0]},
        "absolute_metrics": {"win_rate": [0.25], "mean_episode_return": [5.0]},
    }
    names = content["smac"]["3s5z"]["Qatten"].keys()
    assert len(names) == 4
    assert names > {"seed_1", "seed_2"}
