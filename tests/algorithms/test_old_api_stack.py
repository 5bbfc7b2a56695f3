"""Ways into an algorithm that RLlib's users know."""

import numpy as np
import pytest
import torch

from rllib_qatten import Qatten
from rllib_qatten.errors import BadInput
from tests.algorithms.tiny import assert_equal, build, weights

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def algorithm():
    algorithm = build("Qatten")
    algorithm.train()
    yield algorithm
    algorithm.stop()


@pytest.mark.parametrize(
    ("door", "says"),
    [
        (lambda a: a.compute_single_action({"agent_0": [0]}), "TeamPolicy.from_checkpoint"),
        (lambda a: a.compute_actions({"agent_0": [0]}), "TeamPolicy.from_checkpoint"),
        (lambda a: a.get_policy(), "get_module.*get_weights.*TeamPolicy"),
        (lambda a: a.get_module("agent_0"), "no module 'agent_0'.*one policy"),
        (lambda a: a.set_weights({"agent_0": {}}), "'agent_0'.*one policy"),
        (lambda a: a.add_module("p1", None), "'p1' cannot be added.*one policy"),
        (lambda a: a.remove_module("p1"), "'p1' cannot be removed"),
        (lambda a: a.add_policy("p1"), "'p1' cannot be added"),
        (lambda a: a.export_policy_model("x"), "rllib export"),
        (lambda a: a.export_policy_checkpoint("x"), "team_policy/"),
    ],
)
def test_closed_doors_say_which_is_open(algorithm, door, says):
    with pytest.raises(BadInput, match=says):
        door(algorithm)


def test_forward_inference_begins_a_game_and_goes_on(algorithm):
    module, spec = algorithm.get_module(), algorithm.spec
    observations = np.random.default_rng(0).random((3, spec.n_agents, spec.observation_size))
    begun = module.forward_inference({"obs": observations})
    assert begun["utilities"].shape == (3, spec.n_agents, spec.n_actions)
    full = {
        "obs": torch.from_numpy(observations).float(),
        "last_actions": np.full((3, spec.n_agents), -1),
        "state_in": {"hidden": torch.zeros(3, *module.get_initial_state()["hidden"].shape)},
    }
    assert torch.equal(begun["utilities"], module.forward_inference(full)["utilities"])
    onward = module.forward_inference(full | {"state_in": begun["state_out"]})
    assert not torch.equal(onward["utilities"], begun["utilities"])
    for name in ("last_actions", "state_in"):
        with pytest.raises(BadInput, match=f"needs both.*got '{name}' alone"):
            module.forward_inference({"obs": observations, name: full[name]})
    with pytest.raises(BadInput, match="got none"):
        module.forward_inference({"obs": {"agent_0": observations[0, 0]}})
    for wrong in (observations[0], observations[:, 0], observations[..., :1]):
        with pytest.raises(BadInput, match=r"\[G, N, O\], here \[G, 2, \d+\]; got \["):
            module.forward_inference({"obs": wrong})
    with pytest.raises(BadInput, match="got none"):
        module.forward_inference({})


def test_weights_go_from_one_to_another(algorithm):
    other = build("Qatten", seed=2)
    other.set_weights(algorithm.get_weights())
    assert_equal(weights(other), weights(algorithm))
    mine, theirs = other.get_module().state_dict(), algorithm.get_module().state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    other.train()
    other.stop()


def test_paths_as_people_write_them(algorithm, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    for written, lies in (
        ("~/a", home / "a"),
        ("b/c", tmp_path / "b" / "c"),
        (tmp_path / "d e é", tmp_path / "d e é"),
        (f"file://{tmp_path}/f%20g", tmp_path / "f g"),
    ):
        assert algorithm.save_to_path(written) == str(lies)
        assert (lies / "SHA256SUMS").is_file()
        restored = Qatten.from_checkpoint(written)
        assert restored.iteration == algorithm.iteration
        restored.restore_from_path(written)
        restored.stop()
    algorithm.save("~/saved")
    other = build("Qatten")
    other.restore("~/saved")
    assert other.iteration == algorithm.iteration
    other.stop()
    assert not (tmp_path / "~").exists()
