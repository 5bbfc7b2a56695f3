"""Gradient updates that can be timed: the package's, the textbook's, and RLlib's Learner's."""

from __future__ import annotations

import copy
from collections.abc import Callable

import gymnasium as gym
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME, NUM_EPISODES_LIFETIME
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import textbook
from benchmarks.teams import Size
from benchmarks.turns import Work
from rllib_qatten import QMIXConfig
from rllib_qatten.envs.team import TeamSpace
from rllib_qatten.training.batch import pack
from rllib_qatten.training.learner import make_optimizer
from rllib_qatten.training.losses import td_loss
from rllib_qatten.training.rl_module import ValueDecompositionRLModule

Loss = Callable[[ValueDecompositionRLModule], Tensor]


def build_learner(config: QMIXConfig, size: Size) -> TorchLearner:
    """The config's own Learner, module and target networks, in this process."""
    actions = gym.spaces.MultiDiscrete([size.actions] * size.agents)
    config = config.copy(copy_frozen=False).debugging(seed=0)
    learner = config.build_learner(spaces={DEFAULT_MODULE_ID: (TeamSpace(size.spec), actions)})
    learner.build()
    module = learner.module[DEFAULT_MODULE_ID]
    with torch.no_grad():  # targets that differ from the live networks, as in training
        for _, target in module.get_target_network_pairs():
            for parameter in target.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
    return learner


def package_loss(config: QMIXConfig, episodes: list) -> Loss:
    """The package's loss on an already packed batch."""
    batch = {name: torch.from_numpy(array) for name, array in pack(episodes).items()}

    def loss(module: ValueDecompositionRLModule) -> Tensor:
        forward = module.forward_train(batch)
        return td_loss(forward, batch, config)[0]

    return loss


def textbook_loss(config: QMIXConfig, episodes: list, size: Size) -> Loss:
    """The textbook's loss on an already padded batch."""
    batch = textbook.padded_batch(episodes, size.unit)
    return lambda module: textbook.loss(module, batch, config.gamma)


def assert_equal(
    module: ValueDecompositionRLModule, first: Loss, second: Loss, tolerance: float = 1e-4
) -> None:
    """Both must give the same loss and gradients.

    One unit in 64 may differ: an input of its ReLU can lie so near 0 that the last bits of a
    product decide on which side of 0 it falls.

    Raises:
        AssertionError: If the loss, or the gradients of more units in relation to their
            parameter's, differ by more than the tolerance, or any by a hundred times that.
    """
    parameters = dict(module.named_parameters())
    parameters = {name: p for name, p in parameters.items() if p.requires_grad}
    losses = [loss(module) for loss in (first, second)]
    a, b = (torch.autograd.grad(loss, list(parameters.values())) for loss in losses)
    torch.testing.assert_close(*losses, rtol=tolerance, atol=0)
    for name, x, y in zip(parameters, a, b, strict=True):
        errors = (x - y).reshape(len(x), -1).norm(dim=1) / y.norm().clamp_min(1e-12)
        differing = int((errors >= tolerance).sum())
        said = f"gradients of {name} differ by {errors.max():.1e}, in {differing} of {len(x)} units"
        assert differing <= len(x) // 64, said
        assert errors.max() < 100 * tolerance, said


def updater(config: QMIXConfig, module: ValueDecompositionRLModule, loss: Loss) -> Work:
    """One update after another: forward, loss, backward, clipping, optimizer step."""
    module = copy.deepcopy(module)
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = make_optimizer(config.optimizer_name, parameters, config.lr)

    def update() -> float:
        optimizer.zero_grad()
        loss(module).backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.grad_clip)
        optimizer.step()
        return 1

    return update


def learner_update(learner: TorchLearner, episodes: list) -> Work:
    """RLlib's Learner from a list of episodes: packing, connectors, the update, metrics."""
    timesteps = {NUM_ENV_STEPS_SAMPLED_LIFETIME: 0, NUM_EPISODES_LIFETIME: 0}

    def update() -> float:
        learner.update(episodes=episodes, timesteps=timesteps)
        return 1

    return update


def flops(module: ValueDecompositionRLModule, loss: Loss) -> float:
    """Floating-point operations of matrix products in one update, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        loss(copy.deepcopy(module)).backward()
    return counter.get_total_flops()
