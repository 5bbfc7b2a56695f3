"""The JSON schema of experiment files and the models that it comes from."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.rllib.algorithms.ppo import PPO
from typer.testing import CliRunner

from rllib_qatten.__main__ import app
from rllib_qatten.algorithms import ALGORITHMS
from rllib_qatten.experiment.schema import json_schema
from rllib_qatten.experiment.settings import settings_model

EXAMPLES = sorted((Path(__file__).parents[2] / "tuned_examples").glob("*.yaml"))
GAME = {"run": "QMIX", "env": "two_step_game", "stop": {"training_iteration": 3}}


@pytest.fixture(scope="module")
def schema():
    return json.loads(json.dumps(json_schema()))


def faults(schema, **changes):
    validator = jsonschema.Draft202012Validator(schema)
    return list(validator.iter_errors({"game": GAME | changes}))


def test_it_is_a_schema_and_the_command_prints_it(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    result = CliRunner().invoke(app, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.output) == schema


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_keep_to_it(schema, file):
    # As editors read it, which take 5e-4 for a number; the examples write it with a dot.
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"lr": {"loguniform": [1e-4, 1e-2]}, "hidden_size": {"grid_search": [8, 16]}}},
        {"run": "my_package.my_module:MyAlgorithm", "config": {"anything": 3}},
        {"checkpoint_config": {"num_to_keep": None}, "time_budget_s": 0.5},
        {"config": {"num_cpus_per_env_runner": 0.5, "evaluation_duration": "auto"}},
    ],
)
def test_what_is_right_has_no_fault(schema, changes):
    assert not faults(schema, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"runs": "QMIX"},
        {"mode": "maximum"},
        {"num_samples": 0},
        {"stop": {"training_iteration": "soon"}},
        {"config": {"hidden_sizes": 3}},
        {"config": {"hidden_size": "wide"}},
        {"config": {"lr": {"loguniformly": [1, 2]}}},
        {"config": {"env_runner_cls": "os:system"}},
        {"config": {"_learner_class": "x"}},
        {"config": {"n_heads": 4}},  # Qatten's
        {"run": "WQMIX", "config": {"weighting": "both"}},
        {"run": "QTRAN", "config": {"variant": 3}},
    ],
)
def test_what_is_wrong_has_one(schema, changes):
    assert faults(schema, **changes)


@pytest.mark.parametrize("algorithm", [*ALGORITHMS.values(), PPO])
def test_what_only_python_can_give_is_no_setting(algorithm):
    fields = settings_model(algorithm).model_fields
    assert not [name for name in fields if name.startswith("_") or "callback" in name]
    for name in ("env_runner_cls", "policy_mapping_fn", "sample_collector", "algo_class"):
        assert name not in fields
    for name in ("lr", "gamma", "num_env_runners", "seed", "env_config", "evaluation_interval"):
        assert fields[name].description, name


@pytest.mark.parametrize("algorithm", [*ALGORITHMS.values(), PPO])
def test_every_plain_default_is_of_its_kind(algorithm):
    defaults = algorithm.get_default_config().to_dict()
    model = settings_model(algorithm)
    plain = {
        name: value
        for name, value in defaults.items()
        if name in model.model_fields.keys() - {"env"}
        and type(value) in (bool, int, float, str, list, type(None))
    }
    assert len(plain) > 100
    model.model_validate(plain)


def test_every_setting_of_training_is_described():
    for name, algorithm in ALGORITHMS.items():
        for field, info in settings_model(algorithm).model_fields.items():
            if field in algorithm.get_default_config().options:
                assert info.description, (name, field)
                assert info.annotation is not Any, (name, field)
