"""`rllib config`, `--dry-run`, RLlib's old arguments, lists of names; Ray does not start."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rllib_qatten import keys
from rllib_qatten.__main__ import app
from rllib_qatten.algorithms import ALGORITHMS
from rllib_qatten.algorithms.recipes import RECIPES
from rllib_qatten.commands import lists
from rllib_qatten.envs import ENVS
from rllib_qatten.envs.battles.armies import NEEDS, SMAC_LIMITS
from rllib_qatten.experiment import costs, resources
from rllib_qatten.experiment.settings import settings_model


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    def no_ray(*args, **kwargs):
        raise AssertionError("Ray was started")

    monkeypatch.setattr("ray.init", no_ray)
    monkeypatch.chdir(tmp_path)


def rllib(*words, code=0, columns=80):
    result = CliRunner().invoke(app, words, env={"COLUMNS": str(columns), "TERM": "dumb"})
    assert result.exit_code == code, result.output
    return result.output


def found(*words):
    """Name -> row, of `rllib config ... --json`."""
    return {row["name"]: row for row in json.loads(rllib("config", *words, "--json"))}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_setting_is_there_with_the_default_that_the_algorithm_has(algorithm):
    rows = found(algorithm, "--all")
    config = ALGORITHMS[algorithm].get_default_config()
    assert rows.keys() == settings_model(ALGORITHMS[algorithm]).model_fields.keys()
    assert {row["source"] for row in rows.values()} == {"default"}
    for name in ("lr", "gamma", "target_update_episodes", *config.options):
        assert rows[name]["value"] == rows[name]["default"] == getattr(config, name)
        assert len(rows[name]["meaning"]) > 10
    assert rows.keys() > found(algorithm).keys() > {"lr", "env", "seed", *config.options}


def test_a_value_says_where_it_comes_from():
    settings = ("recipe=smax_recurrent", "mixer_preset=paper_mmm2", "gamma=0.5", "tau=0.1")
    rows = found("Qatten", *(word for text in settings for word in ("--set", text)))
    smax = RECIPES["smax_recurrent"]
    assert (rows["lr"]["value"], rows["lr"]["source"]) == (smax["lr"], "recipe smax_recurrent")
    assert rows["q_in_key"]["value"] is True
    assert rows["q_in_key"]["source"] == "mixer_preset paper_mmm2"
    assert (rows["gamma"]["value"], rows["gamma"]["source"]) == (0.5, "command line")
    assert (rows["hidden_size"]["value"], rows["hidden_size"]["source"]) == (64, "default")


def test_of_a_file_and_the_command_line():
    words = "--set", "env_config.map_name=8m", "--set", "n_heads=2", "--set", "lr=0.001"
    rows = found("-f", "qatten_2s3z", *words)
    assert rows["env_config"]["value"] == {"map_name": "8m", "engine": "auto"}
    assert rows["env_config"]["source"] == rows["n_heads"]["source"] == "command line"
    assert rows["weighted_heads"]["source"] == "file"
    assert rows["td_lambda"]["source"] == "recipe smax"
    # Explicit settings come before a recipe's.
    assert rows["lr"]["source"] == "command line"


def test_for_people_one_setting_in_full():
    text = rllib("config", "Qatten", "n_heads", "lr", "--set", "recipe=smax_recurrent")
    assert re.search(r"^n_heads +4$", text, re.MULTILINE)
    assert re.search(
        r"^lr +0.0007 +from recipe smax_recurrent; default 0.0005$", text, re.MULTILINE
    )
    assert "attention heads, H." in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("Qaten",), "Did you mean 'Qatten'"),
        (("Qatten", "n_head"), "Unknown setting: 'n_head'. Did you mean 'n_heads'"),
        (("Qatten", "--set", "n_head=2"), "'n_heads'"),
        (("QMIX", "--set", "n_heads=2"), "It is a setting of Qatten"),
        (("QMIX", "-f", "qatten_3m"), "is Qatten, not QMIX"),
        (("-f", "qatten_3m", "--set", "n_heads=two"), "a whole number; got 'two'"),
        (("QMIX", "n_heads"), "It is a setting of Qatten"),
        (("Qatten", "lr", "--set", "lr=-3"), "lr must be a positive number"),
        (("-f", "qatten_3m", "--set", "lr=-3"), "lr must be a positive number"),
        (("-f", "qatten_3m", "n_head"), "Unknown setting: 'n_head'. Did you mean 'n_heads'"),
        ((), "name an algorithm"),
    ],
)
def test_mistakes_get_one_message(words, message):
    output = rllib("config", *words, code=2)
    assert output.startswith("Error: ")
    assert message in output


def test_of_a_file_the_first_word_may_be_a_setting():
    assert found("-f", "qatten_3m", "n_heads").keys() == {"n_heads"}
    assert found("Qatten", "-f", "qatten_3m", "n_heads").keys() == {"n_heads"}


def test_a_dry_run_shows_settings_and_costs_and_writes_nothing(tmp_path):
    words = ("train", "-f", "qmix_two_step", "--storage-path", "out", "--set", "gamma=0.5")
    text = rllib(*words, "--set", "num_env_runners=2", "--dry-run")
    assert re.search(r"^gamma +0.5 +command line +0.99", text, re.MULTILINE)
    assert re.search(r"^a trial   3 processes, 3 CPUs; replay at most", text, re.MULTILINE)
    assert "time      unknown: it has not run here before" in text
    assert f"results   {tmp_path / 'out' / 'qmix_two_step'}" in text
    assert not list(tmp_path.iterdir())


def test_a_dry_run_estimates_from_the_last_run(tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "cpus", lambda: 2)
    curves = tmp_path / "out" / "qmix_two_step" / "trial" / "progress.csv"
    curves.parent.mkdir(parents=True)
    curves.write_text(f"time_total_s,{keys.STEPS},training_iteration\n100,1000,1\n")
    words = ("train", "-f", "qmix_two_step", "--storage-path", "out", "--dry-run",
             "--set", "seed={grid_search: [1, 2, 3]}")  # fmt: skip
    text = rllib(*words, "--stop", f"{keys.STEPS}=6000")
    assert "trials    3, 2 at a time on this machine" in text
    assert "time      about 20 minutes, at the last run's 10 env steps/s" in text


def test_one_core_is_enough_for_the_examples(monkeypatch):
    for module in (costs, resources):
        monkeypatch.setattr(module, "cpus", lambda: 1)
    words = "train", "-f", "qatten_3s5z", "--dry-run", "--set"
    assert re.search("2 processes, 3 CPUs", rllib(*words, "env_config.engine=smax"))
    assert "a process needs 3 CPUs, but there are 1" in rllib(
        *words, "num_cpus_per_learner=3", code=2
    )


def test_a_run_that_ends_before_its_first_evaluation_says_so():
    words = "train", "-f", "qmix_two_step", "--dry-run", "--stop", "training_iteration=6", "--set"
    told = (
        "qmix_two_step plays no greedy games, which are its trials' score: the first would follow "
        "iteration 7 (evaluation_interval), and training stops after 6."
    )
    assert told in rllib(*words, "evaluation_interval=7")
    assert "plays no greedy games" not in rllib(*words, "evaluation_interval=6")


def test_a_dry_run_counts_gpus_too(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr(costs, "cpus", lambda: 16)
    words = "train", "-f", "qmix_two_step", "--dry-run", "--set", "seed={grid_search: [1, 2, 3]}"
    one, half = (f"num_gpus_per_learner={share}" for share in (1, 0.5))
    assert "trials    3, 1 at a time on this machine" in rllib(*words, "--set", one)
    assert "trials    3, 2 at a time on this machine" in rllib(*words, "--set", half)


@pytest.mark.parametrize("address", ["local", ""])
def test_this_machine_has_what_a_trial_needs_by_whatever_name(monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    words = "train", "-f", "qmix_two_step", "--dry-run", "--set", "num_gpus_per_learner=1"
    assert "a trial needs 1 GPUs, but there are 0" in rllib(*words, code=2)


def test_a_dry_run_knows_when_games_are_truncated():
    words = "train", "-f", "qmix_two_step", "--dry-run", "--set", "env=tests.teams:ScriptedBattle"
    assert "replay of unknown size" in rllib(*words)
    assert "replay at most" in rllib(*words, "--set", "max_episode_steps=30")


def test_a_dry_run_refuses_what_a_run_would():
    assert "gamma" in rllib("train", "-f", "qmix_two_step", "--set", "gamma=2", "--dry-run", code=2)


def test_settings_of_some_experiments_of_a_file():
    text = rllib("config", "-f", "study", "--only", "study_3m_*", "lr", "--json")
    experiments = {row["of"].split(": ")[0] for row in json.loads(text)}
    assert len(experiments) > 1
    assert all(name.startswith("study_3m_") for name in experiments)
    told = rllib("config", "-f", "study", "--only", "study_3m_qmx", code=2)
    assert "Did you mean 'study_3m_qmix'" in " ".join(told.split())
    told = rllib("config", "QMIX", "--only", "study_3m_qmix", code=2)
    assert "give one with -f FILE" in " ".join(told.split())


OLD = ("train", "--run", "QMIX", "--env", "two_step_game", "--dry-run")


def test_arguments_of_rllibs_own_command():
    text = rllib(
        *OLD, "--config", '{"lr": 0.01, "epsilon": [[0, 1.0], [100, 0.1]]}',
        "--stop", '{"training_iteration": 3, "time_total_s": 60}', "--checkpoint-freq", "2",
        "--local-dir", "here", "--experiment-name", "mine",
    )  # fmt: skip
    assert text.startswith("mine: QMIX on two_step_game")
    assert re.search(r"^lr +0.01 +command line", text, re.MULTILINE)
    assert "stops at  training_iteration 3, time_total_s 60" in text
    assert str(Path("here/mine")) in text


def test_run_and_env_replace_a_files():
    text = rllib("train", "-f", "qmix_two_step", "--run", "VDN", "--env", "matrix_game",
                 "--set", "env_config={}", "--dry-run")  # fmt: skip
    assert text.startswith("qmix_two_step: VDN on matrix_game")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*OLD, "--config", '{"lr'), "--config '{\"lr': is not JSON: "),
        ((*OLD, "--config", "[1]"), "--config '[1]': must be a JSON object"),
        ((*OLD, "--stop", '{"x"}'), "--stop '{\"x\"}': is not JSON: "),
        ((*OLD, "--config", '{"lrr": 1}'), "QMIX_two_step_game.config.lrr: "),
        ((*OLD, "--name", ""), "--name: '' is not a valid name"),
        (("train", "--env", "smac"), "give one experiment"),
        (("evaluate", "x", "--steps", "100"), "--steps: whole games are played"),
        (("evaluate", "x", "--out", "y"), "--out: results are written as JSON: --json FILE"),
        (("evaluate", "x", "--render"), "--render: a battle is drawn to a file: --video FILE"),
        (("evaluate", "x", "--config", '{"lr": 1}'), "only env_config.KEY=VALUE can be set"),
    ],
)
def test_old_arguments_that_cannot_be_taken_get_one_message(words, message):
    output = rllib(*words, code=2)
    assert output.startswith("Error: ")
    assert message in output


def test_lists_of_names():
    algorithms, envs, maps = rllib("algorithms"), rllib("envs"), rllib("maps")
    for names, text in ((ALGORITHMS, algorithms), (ENVS, envs), ((*SMAC_LIMITS, *NEEDS), maps)):
        for name in names:
            assert re.search(rf"^{name} ", text, re.MULTILINE), name
    assert re.search(r"^3s5z +3 stalker, 5 zealot +the same +150 +smax, sc2", maps, re.MULTILINE)
    assert re.search(r"^MMM2 +with a medivac +sc2", maps, re.MULTILINE)
    assert max(map(len, (algorithms + envs + maps).splitlines())) <= 80
    assert lists.ENVS.keys() == ENVS.keys()


def test_version_flags_and_completion():
    assert re.fullmatch(r"rllib_qatten \d+\.\d+\.\d+, Ray 2\.\d+\.\d+\n", rllib("--version"))
    for words in (("--help",), ("train", "--help"), ("example", "get", "--help")):
        assert "bool" not in rllib(*words)
    assert "--install-completion" in rllib("--help")
    complete = {"_RLLIB_COMPLETE": "complete_bash", "COMP_WORDS": "rllib exa", "COMP_CWORD": "1"}
    result = CliRunner().invoke(app, [], env=complete, prog_name="rllib")
    assert "example" in result.output
