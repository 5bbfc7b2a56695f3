"""Reading, overriding and checking experiments; nothing here starts Ray."""

import itertools
from pathlib import Path

import pytest
import yaml

from rllib_qatten.envs.import_path import EXTRA_ENVS
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.checks import check
from rllib_qatten.experiment.experiment import Experiment
from rllib_qatten.experiment.file import Changes, assignment, override, read

EXAMPLES = sorted((Path(__file__).parents[2] / "tuned_examples").glob("*.yaml"))


def written(folder: Path, **fields) -> Experiment:
    file = folder / "exp.yaml"
    fields = {"run": "QMIX", "env": "two_step_game"} | fields
    file.write_text(yaml.safe_dump({"game": fields}))
    [experiment] = read(file)
    return experiment


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_are_valid(file, monkeypatch):
    for package in EXTRA_ENVS:
        if f" {package}" in file.read_text():
            pytest.importorskip(package, reason="the extra envs is not installed")
    monkeypatch.setattr("rllib_qatten.envs.battles.smax.installed", lambda: True)
    for experiment in read(file):
        check(experiment)


@pytest.mark.parametrize(
    ("text", "value"),
    [("5e-4", 0.0005), ("1e6", 1e6), ("-2E3", -2000.0), ("0.1", 0.1), ("3m", "3m"), ("2", 2)],
)
def test_numbers_without_a_dot_are_numbers(text, value):
    assert assignment(f"lr={text}", "--set") == ("lr", value)


def test_a_value_may_hold_equals_signs_and_lists():
    assert assignment("lr={grid_search: [1, 2]}", "--set") == ("lr", {"grid_search": [1, 2]})
    assert assignment("x=a=b", "--set") == ("x", "a=b")


def test_only_chooses_among_several_experiments(tmp_path):
    file = tmp_path / "exp.yaml"
    game = {"run": "QMIX", "env": "two_step_game"}
    names_there = ["b_8m_qmix", "b_3m_vdn", "b_3m_qmix"]
    file.write_text(yaml.safe_dump({n: game for n in names_there}, sort_keys=False))

    def names(*only, **changes):
        return [experiment.name for experiment in read(file, Changes(only=only, **changes))]

    assert names() == names_there
    assert names("*_3m_*") == ["b_3m_vdn", "b_3m_qmix"]
    assert names("b_3m_qmix", "b_8m_*") == ["b_8m_qmix", "b_3m_qmix"]
    assert names("b_8m_qmix", name="again") == ["again"]
    for only in (("b_3m_qmx",), ("*_3m_*", "b_3m_qmx")):
        with pytest.raises(BadInput, match="Did you mean 'b_3m_qmix'"):
            names(*only)
    changes = Changes(only=("a b", "c"), set_=("seed=1",))
    assert changes.words() == ["--only", "a b", "--only", "c", "--set", "seed=1"]


def test_dotted_keys_reach_into_the_config():
    config = {"lr": 1, "env_config": {"engine": "smax"}}
    override(config, "env_config.map_name", "3m")
    override(config, "evaluation_config.explore", False)
    assert config == {
        "lr": 1,
        "env_config": {"engine": "smax", "map_name": "3m"},
        "evaluation_config": {"explore": False},
    }


def test_grids_are_counted_and_every_combination_is_tried_once(tmp_path):
    grid = {
        "lr": {"grid_search": [0.1, 0.2, 0.3]},
        "evaluation_config": {"explore": {"grid_search": [True, False]}},
    }
    experiment = written(tmp_path, config=grid, num_samples=2)
    assert experiment.num_trials == 12
    variants = [(v["lr"], v["evaluation_config"]["explore"]) for v in experiment.variants()]
    assert sorted(variants) == sorted(itertools.product((0.1, 0.2, 0.3), (True, False)))
    assert experiment.config["lr"] == {"grid_search": [0.1, 0.2, 0.3]}


def test_of_too_many_combinations_every_value_is_tried_once(tmp_path):
    grid = {key: {"grid_search": [i / 100 for i in range(1, 10)]} for key in ("lr", "gamma")}
    grid |= {"hidden_size": {"randint": [8, 65]}}
    variants = list(written(tmp_path, config=grid).variants())
    assert len(variants) == 1 + 8 + 8 + 1
    assert {v["lr"] for v in variants} == {v["gamma"] for v in variants}
    assert [v["hidden_size"] for v in variants if v["hidden_size"] != 8] == [64]


@pytest.mark.parametrize("given", ["text", 1, {"grid_search": [1, 2]}])
def test_settings_of_evaluations_are_a_mapping(tmp_path, given):
    with pytest.raises(BadInput, match=r"config.evaluation_config: must be a mapping of settings"):
        check(written(tmp_path, config={"evaluation_config": given}))


def test_the_environment_may_be_in_the_config(tmp_path):
    experiment = written(tmp_path, env=None, config={"env": "matrix_game"})
    assert experiment.param_space["env"] == "matrix_game"


@pytest.mark.parametrize(
    "key",
    [
        "training_iteration",
        "time_since_restore",
        "evaluation/env_runners/episode_return_mean",
        "learners/default_policy/head_3_entropy",
    ],
)
def test_keys_of_results_may_stop(tmp_path, key):
    check(written(tmp_path, stop={key: 1}))


def test_keys_of_results_may_be_nested(tmp_path):
    experiment = written(tmp_path, stop={"env_runners": {"episode_return_mean": 1}})
    assert experiment.stop == {"env_runners/episode_return_mean": 1}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"local_dir": "x"}, "a.local_dir: Unknown key.*older RLlib.*`storage_path`"),
        ({"resources_per_trial": {"cpu": 1}}, "'num_cpus_for_main_process'"),
        (
            {"config": {"training": {"lr": 0.1}}},
            "config.training: is a method of configs in Python",
        ),
    ],
)
def test_keys_of_other_places_say_which_is_meant(tmp_path, fields, told):
    with pytest.raises(BadInput, match=told.replace("a.local", r"\w+\.local")):
        check(written(tmp_path, **fields))


def test_what_is_not_ours_is_left_to_rllib(tmp_path):
    settings = {"num_epochs": 3, "num_env_runners": 4}
    experiment = written(tmp_path, run="PPO", env="CartPole-v1", config=settings, stop={"x": 1})
    assert check(experiment).cpus_per_trial == 5


def test_a_trial_that_needs_more_cpus_says_so(tmp_path):
    experiment = written(tmp_path, config={"num_env_runners": {"grid_search": [0, 5]}})
    assert check(experiment).cpus_per_trial == 6


def test_checking_changes_nothing(tmp_path):
    experiment = written(tmp_path, config={"env_config": {}, "lr": 0.1})
    before = repr(experiment.param_space)
    check(experiment)
    assert repr(experiment.param_space) == before


@pytest.mark.parametrize("text", ["", "one: 1", "run: QMIX\nenv: smac", "a: {}\nb: 3", "- a"])
def test_what_is_no_experiment_is_refused(tmp_path, text):
    file = tmp_path / "exp.yaml"
    file.write_text(text)
    with pytest.raises(BadInput, match=r"exp\.yaml: .*run, env, stop, config"):
        read(file)
