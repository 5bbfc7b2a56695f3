"""TorchRL's QMIX update: its `QMixerLoss` and `QMixer` around an agent network of our widths.

The agents are folded into one `nn.GRU` call, the fastest form TorchRL lets a user write. What
differs from ours and cannot be set: hypernetworks of one layer (more arithmetic), no double Q, no
mask (so full episodes only), and next observations stored, and unrolled, a second time.
"""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor, nn

from benchmarks import textbook
from benchmarks.teams import Size
from benchmarks.turns import Work
from rllib_qatten import QMIXConfig
from rllib_qatten.rollout.episode import TeamEpisode
from rllib_qatten.training.learner import make_optimizer

HOW_TO_INSTALL = "not installed: pip install -e '.[bench]'"


def installed() -> bool:
    """Whether TorchRL is there; imports nothing."""
    return importlib.util.find_spec("torchrl") is not None


class FoldedGRU(nn.Module):
    """Linear, ReLU, GRU, linear over whole episodes: [B, T, N, I] -> [B, T, N, A]."""

    def __init__(self, size: int, hidden: int, actions: int) -> None:
        """See class."""
        super().__init__()
        self.first, self.last = nn.Linear(size, hidden), nn.Linear(hidden, actions)
        self.memory = nn.GRU(hidden, hidden, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Utilities of all steps."""
        b, t, n, _ = inputs.shape
        features = torch.relu(self.first(inputs)).transpose(1, 2).reshape(b * n, t, -1)
        return self.last(self.memory(features)[0]).view(b, n, t, -1).transpose(1, 2)


def updater(
    config: QMIXConfig, episodes: list[TeamEpisode], size: Size, device: str = "cpu"
) -> Work:
    """One update after another on full episodes, with the config's optimizer and clipping."""
    from tensordict import TensorDict
    from tensordict.nn import TensorDictModule
    from torchrl.modules import QMixer, QValueModule, SafeSequential
    from torchrl.objectives import QMixerLoss, ValueEstimators

    batch = textbook.padded_batch(episodes, size.unit)
    b, t, n = len(episodes), size.steps, size.agents
    ids = batch["ids"].unsqueeze(1).expand(b, t + 1, n, n)
    inputs = torch.cat([batch["observations"], batch["last_actions"], ids], -1)

    def seen(steps: slice) -> dict:
        agents = {
            "observation": inputs[:, steps].contiguous(),
            "action_mask": batch["legal"][:, steps].contiguous(),
        }
        return {
            "agents": TensorDict(agents, [b, t, n]),
            "state": batch["state"][:, steps].contiguous(),
        }

    now, following = seen(slice(0, t)), seen(slice(1, t + 1))
    now["agents"]["action"] = batch["actions"]
    ends = batch["terminated"].bool().unsqueeze(-1)
    following |= {"reward": batch["rewards"].unsqueeze(-1), "done": ends, "terminated": ends}
    data = TensorDict({**now, "next": TensorDict(following, [b, t])}, [b, t]).to(device)

    values, chosen = ("agents", "action_value"), ("agents", "chosen_action_value")
    network = FoldedGRU(inputs.shape[-1], config.hidden_size, size.actions)
    policy = SafeSequential(
        TensorDictModule(network, in_keys=[("agents", "observation")], out_keys=[values]),
        QValueModule(
            action_space="categorical",
            action_value_key=values,
            action_mask_key=("agents", "action_mask"),
            out_keys=[("agents", "action"), values, chosen],
        ),
    )
    mixer = QMixer((size.state,), config.mixing_embed_dim, n, device=device)
    mixing = TensorDictModule(mixer, in_keys=[chosen, "state"], out_keys=["chosen_action_value"])
    loss = QMixerLoss(policy, mixing, action_space="categorical", delay_value=True)
    loss.make_value_estimator(ValueEstimators.TD0, gamma=config.gamma)
    loss.to(device)
    parameters = [p for p in loss.parameters() if p.requires_grad]
    optimizer = make_optimizer(config.optimizer_name, parameters, config.lr)

    def update() -> float:
        optimizer.zero_grad()
        loss(data)["loss"].backward()
        nn.utils.clip_grad_norm_(parameters, config.grad_clip)
        optimizer.step()
        return 1

    return update
