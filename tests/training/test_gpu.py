"""On a CUDA device: the CPU's losses and gradients, and checkpoints that go back and forth."""

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from rllib_qatten import TeamPolicy
from rllib_qatten.agents.registry import AGENTS
from rllib_qatten.rollout.episode import TeamEpisode
from tests.algorithms.tiny import assert_equal, weights
from tests.algorithms.tiny import build as build_algorithm
from tests.settings import every_form
from tests.training.several_learners import PLAYED, build
from tests.training.test_batch import make_episode

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.usefixtures("ray_session"),  # RLlib asks Ray which GPUs a learner has
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]
GPU = {"num_gpus_per_learner": 1}


def ragged_games() -> list[TeamEpisode]:
    rng = np.random.default_rng(0)
    return [make_episode(rng, steps) for steps in (9, 7, 7, 6, 2, 1)]


def loss_and_gradients(learner, episodes):
    """Of the first update, before any step, so that no optimizer blows up what rounding differs."""
    module = learner.module
    batch = learner._learner_connector(rl_module=module, batch={}, episodes=episodes)
    one = module[DEFAULT_MODULE_ID].unwrapped()
    forward = one.forward_train(batch[DEFAULT_MODULE_ID])
    loss, _ = learner.loss(forward, batch[DEFAULT_MODULE_ID], learner.config)
    parameters = {name: p for name, p in one.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    grads = {
        name: None if g is None else g.cpu() for name, g in zip(parameters, found, strict=True)
    }
    return loss.detach().cpu(), grads


def pair(name, **settings):
    """The same learner on a CPU and on the device."""
    cpu, gpu = build(name, 0, **settings), build(name, 0, **settings, **GPU)
    cpu.build()
    gpu.build()
    gpu.set_state(cpu.get_state())
    assert next(gpu.module[DEFAULT_MODULE_ID].parameters()).device.type == "cuda"
    return cpu, gpu


@pytest.mark.parametrize("agent", AGENTS)
@every_form
def test_the_same_loss_and_gradients_as_on_a_cpu(name, options, agent):
    cpu, gpu = pair(name, agent=agent, **options)
    episodes = ragged_games()
    (loss, grads), (gpu_loss, gpu_grads) = (loss_and_gradients(one, episodes) for one in (cpu, gpu))
    torch.testing.assert_close(gpu_loss, loss, rtol=1e-4, atol=1e-6)
    whole = torch.cat([g.flatten() for g in grads.values() if g is not None]).norm()
    for parameter, wanted in grads.items():
        found = gpu_grads[parameter]
        assert (found is None) == (wanted is None), parameter
        if wanted is not None:
            assert (found - wanted).norm() <= 1e-3 * wanted.norm() + 1e-6 * whole, parameter


@pytest.mark.parametrize("agent", AGENTS)
def test_updates_follow_those_of_a_cpu(agent):
    cpu, gpu = pair("Qatten", agent=agent, standardize_rewards=True)
    for _ in range(5):
        ours, theirs = (
            one.update(episodes=ragged_games(), timesteps=PLAYED)[DEFAULT_MODULE_ID]
            for one in (gpu, cpu)
        )
        for key in ("total_loss", "td_error_abs_mean"):
            if key in theirs:
                np.testing.assert_allclose(ours[key].peek(), theirs[key].peek(), rtol=1e-2)


def test_bfloat16_on_the_device_is_near():
    cpu, gpu = pair("Qatten", precision="bfloat16")
    (loss, _), (gpu_loss, _) = (loss_and_gradients(one, ragged_games()) for one in (cpu, gpu))
    torch.testing.assert_close(gpu_loss, loss, rtol=0.03, atol=0.01)


def test_trains_there_acts_here_and_goes_on_on_either(tmp_path):
    gpu = build_algorithm("Qatten", **GPU)
    gpu.train()
    assert next(gpu.env_runner.module.parameters()).device.type == "cpu"
    gpu.save_to_path(tmp_path / "there")
    trained = weights(gpu)
    gpu.stop()
    parameters = TeamPolicy.from_checkpoint(tmp_path / "there").network.parameters()
    assert {p.device.type for p in parameters} == {"cpu"}

    cpu = build_algorithm("Qatten")
    cpu.restore_from_path(tmp_path / "there")
    assert_equal(weights(cpu), trained)
    assert np.isfinite(cpu.train()["learners"][DEFAULT_MODULE_ID]["total_loss"])
    cpu.save_to_path(tmp_path / "here")
    trained = weights(cpu)
    cpu.stop()

    gpu = build_algorithm("Qatten", **GPU)
    gpu.restore_from_path(tmp_path / "here")
    assert_equal(weights(gpu), trained)
    assert np.isfinite(gpu.train()["learners"][DEFAULT_MODULE_ID]["total_loss"])
    gpu.stop()


def test_a_learner_of_its_own_takes_the_device():
    algorithm = build_algorithm("Qatten", num_learners=1, num_gpus_per_learner=0.5)
    algorithm.train()
    devices = algorithm.learner_group.foreach_learner(lambda learner: learner.device.type)
    assert [device.get() for device in devices] == ["cuda"]
    algorithm.stop()


def test_more_devices_than_there_are():
    with pytest.raises(ValueError, match=r"torch sees \d+ GPUs"):
        build_algorithm("Qatten", **GPU, local_gpu_idx=torch.cuda.device_count())
