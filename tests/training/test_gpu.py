"""On a CUDA device: the CPU's losses and gradients, and checkpoints that go back and forth."""

import copy

import gymnasium as gym
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from benchmarks.teams import SIZES, random_episodes
from rllib_qatten import QattenConfig, QMIXConfig
from rllib_qatten.envs.team import TeamSpace
from rllib_qatten.training.batch import PackEpisodes
from rllib_qatten.training.losses import td_loss

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]
SIZE = SIZES["tiny"]


def module_of(config):
    actions = gym.spaces.MultiDiscrete([SIZE.actions] * SIZE.agents)
    learner = config.debugging(seed=0).build_learner(
        spaces={DEFAULT_MODULE_ID: (TeamSpace(SIZE.spec), actions)}
    )
    learner.build()
    return learner.module


def loss_and_gradients(module, config, episodes):
    batch = PackEpisodes()(rl_module=module, batch={}, episodes=episodes)[DEFAULT_MODULE_ID]
    one = module[DEFAULT_MODULE_ID].unwrapped()
    loss = td_loss(one.forward_train(batch), batch, config)[0]
    parameters = [p for p in one.parameters() if p.requires_grad]
    grads = torch.autograd.grad(loss, parameters)
    return loss.cpu(), [g.cpu() for g in grads]


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("config_class", [QattenConfig, QMIXConfig])
def test_the_same_loss_and_gradients_as_on_a_cpu(config_class, ragged):
    config = config_class().training(recipe="smax_recurrent")
    module, episodes = module_of(config), random_episodes(SIZE, ragged)
    loss, grads = loss_and_gradients(module, config, episodes)
    there = copy.deepcopy(module).to("cuda")
    gpu_loss, gpu_grads = loss_and_gradients(there, config, episodes)
    torch.testing.assert_close(gpu_loss, loss, rtol=1e-4, atol=1e-6)
    for found, wanted in zip(gpu_grads, grads, strict=True):
        assert (found - wanted).norm() <= 1e-3 * wanted.norm().clamp(min=1e-6)
    back = there.to("cpu")
    assert torch.equal(loss_and_gradients(back, config, episodes)[0], loss)
