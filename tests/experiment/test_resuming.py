"""What is said of a checkpoint before a run begins with it."""

import pytest
import yaml
from ray.rllib.algorithms.registry import ALGORITHMS as RLLIB

from rllib_qatten import QMIXConfig
from rllib_qatten.algorithms import ALGORITHMS, registry
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.checks import check
from rllib_qatten.experiment.file import Changes, read
from rllib_qatten.experiment.resuming import checkpoint_to_resume, differences

SETTINGS = {"hidden_size": 8, "seed": 3, "lr": 0.001, "evaluation_config": {"explore": False}}


@pytest.fixture(scope="module")
def checkpoint(ray_session, tmp_path_factory):
    algorithm = QMIXConfig().environment("two_step_game").update_from_dict(SETTINGS).build_algo()
    folder = tmp_path_factory.mktemp("trial") / "checkpoint_000000"
    algorithm.save_to_path(folder)
    algorithm.stop()
    return folder


@pytest.fixture
def plan(tmp_path):
    def make(*changes, **fields):
        file = tmp_path / "exp.yaml"
        fields = {"run": "QMIX", "env": "two_step_game", "config": SETTINGS} | fields
        file.write_text(yaml.safe_dump({"game": fields}))
        [experiment] = read(file, Changes(set_=changes, storage_path=str(tmp_path)))
        return check(experiment)

    return make


def test_the_same_settings_have_no_difference(checkpoint, plan):
    assert differences(checkpoint_to_resume(checkpoint, plan()), plan()) == []


def test_settings_that_may_differ_are_told(checkpoint, plan):
    changed = plan("lr=0.002", "replay_capacity_episodes=99", "evaluation_config.explore=true")
    assert sorted(differences(checkpoint, changed)) == [
        "evaluation_config.explore: False in the checkpoint, True here",
        "lr: 0.001 in the checkpoint, 0.002 here",
        "replay_capacity_episodes: 5000 in the checkpoint, 99 here",
    ]
    assert differences(checkpoint, plan(env="matrix_game")) == [
        "env: 'two_step_game' in the checkpoint, 'matrix_game' here"
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("hidden_size=16", "hidden_size: 8 in the checkpoint, 16 here"),
        ("optimizer_name=adam", "optimizer_name: 'rmsprop' in the checkpoint, 'adam' here"),
        ("agent=feed_forward", "agent: 'recurrent' in the checkpoint, 'feed_forward' here"),
        ("standardize_rewards=true", "standardize_rewards: False in the checkpoint, True here"),
        ("mixing_embed_dim=16", "mixing_embed_dim: 32 in the checkpoint, 16 here"),
        ("hypernet_layers=1", "hypernet_layers: 2 in the checkpoint, 1 here"),
    ],
)
def test_what_cannot_fit_is_refused(checkpoint, plan, change, told):
    with pytest.raises(BadInput, match="do not fit these settings: ") as raised:
        differences(checkpoint, plan(change))
    assert str(raised.value).endswith(f": {told}.")


@pytest.mark.parametrize("name", ["x" * 500, "s3://bucket/x", "~nobody/x"])
def test_a_path_that_can_be_none_is_refused(plan, name):
    with pytest.raises(BadInput):
        checkpoint_to_resume(name, plan())


@pytest.fixture
def registries():
    """Algorithms that a test registers leave the registries with it."""
    kept = [(known, known.copy()) for known in (ALGORITHMS._registered, registry._told, RLLIB)]
    yield
    for known, before in kept:
        known.clear()
        known.update(before)


def test_an_algorithm_of_a_users_own_is_named_by_its_module(
    plan, tmp_path, monkeypatch, registries
):
    (tmp_path / "own_algorithm.py").write_text(
        "from rllib_qatten import QMIX\n\n\nclass Mine(QMIX):\n    pass\n\n\nOTHER = print\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    made = plan(run="own_algorithm:Mine")
    assert made.trainable.__name__ == "Mine"
    assert made.metric == "evaluation/env_runners/episode_return_mean"
    with pytest.raises(BadInput, match="is not an algorithm: name a subclass"):
        plan(run="own_algorithm:OTHER")
    with pytest.raises(BadInput, match="'Mine'"):
        plan(run="own_algorithm:Min")
