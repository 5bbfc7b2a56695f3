"""Parts of an algorithm, restored from those of a checkpoint: all of a part, or nothing."""

import shutil

import pytest
import torch
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rllib_qatten import ALGORITHMS
from rllib_qatten.algorithms.vdn import VDNRLModule
from rllib_qatten.checkpoints.components import LEARNER, POLICY
from rllib_qatten.checkpoints.folder import CheckpointError
from rllib_qatten.errors import BadInput
from tests.algorithms.tiny import assert_equal, build, weights
from tests.checkpoints.test_stepping_back import assert_all_have

pytestmark = pytest.mark.usefixtures("ray_session")

#: Parts that hold the weights.
PARTS = "learner_group", str(LEARNER), str(LEARNER / "rl_module"), str(POLICY)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, ray_session):
    """A checkpoint of VDN after an iteration, and its weights."""
    path = tmp_path_factory.mktemp("parts") / "checkpoint"
    algorithm = build("VDN")
    algorithm.train()
    algorithm.save_to_path(path)
    yield path, weights(algorithm)
    algorithm.stop()


@pytest.mark.parametrize("runners", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_those_that_are_not_there_are_refused(trained, runners):
    algorithm = build("VDN", num_env_runners=runners, seed=2)
    for component, says in (
        ("nope", "Here are: learner_group, env_runner, eval_env_runner"),
        ("replay", "no such component that can be restored by itself"),
        ("learner_group/learner/optimizer", "Inside learner_group/learner are: .*/rl_module"),
    ):
        with pytest.raises(CheckpointError, match=says):
            algorithm.restore_from_path(trained[0], component=component)
    algorithm.stop()


@pytest.mark.parametrize("learners", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("component", PARTS)
def test_a_part_comes_from_a_checkpoint_or_its_own_folder(trained, component, learners):
    path, wanted = trained
    for folder in (path, path / component):
        algorithm = build("VDN", seed=2, num_learners=learners)
        algorithm.restore_from_path(folder, component=component)
        assert_all_have(algorithm, wanted)
        algorithm.train()
        algorithm.stop()


@pytest.mark.parametrize(
    ("name", "settings", "parts", "says"),
    [
        ("QMIX", {}, PARTS, r"mixer.hyper_b1.* is missing from it; .* and \d+ more"),
        ("VDN", {"layer_norm": True}, PARTS, r"agent.encoder_norm.bias is missing from it"),
        ("VDN", {"hidden_size": 8}, PARTS, r"shape \(16,\) in it and \(8,\) here"),
        ("VDN", {"optimizer_name": "adam"}, PARTS[:2], "its optimizer_name is rmsprop"),
    ],
)
def test_what_does_not_fit_changes_nothing(trained, name, settings, parts, says):
    algorithm = build(name, **settings)
    before = weights(algorithm)
    for component in parts:
        for folder in (trained[0], trained[0] / component):
            with pytest.raises(CheckpointError, match=says):
                algorithm.restore_from_path(folder, component=component)
    assert_equal(before, weights(algorithm))
    algorithm.train()
    algorithm.stop()


def test_another_parts_folder_is_refused(trained, tmp_path):
    algorithm = build("VDN", seed=2)
    before = weights(algorithm)
    for folder, component, says in (
        ("env_runner", "learner_group", "env_runner holds a TeamEnvRunner, which is another part"),
        ("learner_group", "env_runner", "learner_group holds a LearnerGroup"),
        (tmp_path, "learner_group", "holds no part of an algorithm; name a checkpoint, or"),
        (tmp_path / "nowhere", "learner_group", "nowhere: no such folder"),
    ):
        with pytest.raises(CheckpointError, match=says):
            algorithm.restore_from_path(trained[0] / folder, component=component)
    assert_equal(before, weights(algorithm))
    algorithm.stop()


def test_a_damaged_part_is_refused_by_name(trained, tmp_path):
    algorithm = build("VDN", seed=2)
    for file in ("learner/state.pkl", "learner/rl_module/default_policy/module_state.pkl"):
        alone, whole = tmp_path / "alone", tmp_path / "whole"
        shutil.copytree(trained[0] / "learner_group", alone)
        shutil.copytree(trained[0], whole)
        for damaged in (alone / file, whole / "learner_group" / file):
            damaged.write_bytes(damaged.read_bytes()[:50])
        with pytest.raises(CheckpointError, match=r"is damaged: its \w*state cannot be read"):
            algorithm.restore_from_path(alone, component="learner_group")
        for folder in (whole, whole / "learner_group"):
            with pytest.raises(CheckpointError, match="is damaged: it was cut short or altered"):
                algorithm.restore_from_path(folder, component="learner_group")
        (alone / file).unlink()
        with pytest.raises(CheckpointError, match=r"is damaged: its \w*state is missing"):
            algorithm.restore_from_path(alone, component="learner_group")
        shutil.rmtree(alone)
        shutil.rmtree(whole)
    algorithm.stop()


def test_a_part_does_without_the_classes_that_it_was_saved_with(trained, tmp_path):
    """As docs/checkpoints.md advises where a checkpoint's module cannot be imported."""
    part = shutil.copytree(trained[0] / "learner_group", tmp_path / "part")
    (part / "class_and_ctor_args.pkl").write_bytes(b"cnowhere_module\nConfig\n.")
    algorithm = build("VDN", seed=2)
    algorithm.restore_from_path(part, component="learner_group")
    assert_equal(trained[1], weights(algorithm))
    algorithm.stop()


class WithAuxiliary(VDNRLModule):
    """Has a layer that only learning uses, as the mixer is one."""

    def setup(self):
        super().setup()
        if not self.inference_only:
            self.auxiliary = torch.nn.Linear(3, 3)


def test_a_users_layers_for_learning_alone_stay_there(tmp_path):
    config = ALGORITHMS["VDN"].get_default_config().environment("two_step_game")
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=WithAuxiliary))
    algorithm = config.build_algo()
    algorithm.train()
    algorithm.restore_from_path(algorithm.save_to_path(tmp_path / "checkpoint"))
    assert "auxiliary.weight" in weights(algorithm)
    algorithm.stop()


def loading(path, name="VDN", **settings):
    """An algorithm whose policy begins with saved weights."""
    policy = RLModuleSpec(load_state_path=str(path))
    config = ALGORITHMS[name].get_default_config().rl_module(rl_module_spec=policy)
    given = {"env": "two_step_game", "hidden_size": 16, **settings}
    return config.update_from_dict(given).build_algo()


def test_load_state_path_is_any_path_to_a_checkpoint_or_its_policy(trained, monkeypatch):
    path, wanted = trained
    monkeypatch.chdir(path.parent)
    for given in (path, path / POLICY, path.name, f"{path.name}/{POLICY}", f"file://{path}"):
        algorithm = loading(given)
        assert_equal(wanted, weights(algorithm))
        algorithm.stop()


def test_load_state_path_takes_all_weights_or_none(trained, tmp_path):
    for name, settings, says in (
        ("QMIX", {}, "not of such a policy: mixer.hyper_b1.* is missing from it"),
        ("VDN", {"layer_norm": True}, "agent.encoder_norm.bias is missing from it"),
        ("VDN", {"hidden_size": 8}, r"shape \(16,\) in it and \(8,\) here"),
    ):
        with pytest.raises(BadInput, match=says):
            loading(trained[0], name, **settings)
    for nothing in (tmp_path, trained[0] / "env_runner", "zoo:qatten_3m"):
        with pytest.raises(CheckpointError, match="holds no policy: name a checkpoint, or the"):
            loading(nothing)
