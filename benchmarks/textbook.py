"""The update as it is usually written: padded, step by step, head by head.

It is what `update` compares the package with. Everything reads the parameters of the package's own
module, so that gradients can be compared one by one, and computes with torch's own operators only,
never with the package's. Letters as in the package; here batches are
[B, T+1, ...], the last entry without a transition, and shorter episodes are padded.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rllib_qatten.agents import RecurrentAgent
from rllib_qatten.mixers import QattenMixer, QMixer
from rllib_qatten.mixers.layers import Hypernet
from rllib_qatten.rollout.episode import TeamEpisode
from rllib_qatten.training.rl_module import ValueDecompositionRLModule

Batch = dict[str, Tensor]


def padded_batch(episodes: list[TeamEpisode], unit: int) -> Batch:
    """Episodes as tensors, as long as the longest; one-hots are ready, as in PyMARL's batches.

    Args:
        episodes: B of them.
        unit: U; the state begins with N rows of so many unit features.
    """
    longest = max(map(len, episodes))

    def pad(name: str) -> Tensor:
        arrays = [torch.from_numpy(getattr(episode, name)) for episode in episodes]
        return torch.stack([F.pad(a, [0, 0] * (a.dim() - 1) + [0, longest + 1 - len(a)])
                            for a in arrays])  # fmt: skip

    lengths = torch.tensor([len(episode) for episode in episodes]).unsqueeze(1)
    ends = torch.tensor([episode.terminated for episode in episodes]).unsqueeze(1)
    step = torch.arange(longest + 1)
    state, actions, legal = pad("state"), pad("actions").long(), pad("legal_actions")
    n, n_actions = legal.shape[2:]
    mask = step < lengths
    one_hot = F.one_hot(actions, n_actions).float() * mask[..., None, None]
    return {
        "observations": pad("observations"),
        "last_actions": torch.cat([torch.zeros_like(one_hot[:, :1]), one_hot[:, :-1]], 1),
        "ids": torch.eye(n).expand(len(episodes), n, n),
        "state": state,
        "units": state[..., : n * unit].unflatten(-1, (n, unit)),
        "legal": legal,
        "actions": actions[:, :-1],
        "rewards": pad("rewards")[:, :-1],
        "terminated": ((step == lengths - 1) & ends)[:, :-1].float(),
        "mask": mask[:, :-1],
    }


def unroll(agent: RecurrentAgent, batch: Batch) -> Tensor:
    """Utilities [B, T+1, N, A], one step after the other."""
    observations = batch["observations"]
    b, steps, n, _ = observations.shape
    encoder, gru, head = agent.encoder, agent.gru, agent.head
    cell = gru.weight_ih, gru.weight_hh, gru.bias_ih, gru.bias_hh
    hidden = observations.new_zeros(b * n, gru.hidden_size)
    utilities = []
    for t in range(steps):
        inputs = torch.cat([observations[:, t], batch["last_actions"][:, t], batch["ids"]], -1)
        features = F.relu(F.linear(inputs.flatten(0, 1), encoder.weight, encoder.bias))
        hidden = torch.gru_cell(features, hidden, *cell)
        utilities.append(F.linear(hidden, head.weight, head.bias).view(b, n, -1))
    return torch.stack(utilities, 1)


def network(net: Hypernet, state: Tensor) -> Tensor:
    """One or two layers of the state."""
    output = F.linear(state, net.first.weight, net.first.bias)
    return output if net.last is None else F.linear(F.relu(output), net.last.weight, net.last.bias)


def qatten(
    mixer: QattenMixer, utilities: Tensor, state: Tensor, units: Tensor, mask: Tensor
) -> tuple:
    """Q_tot [M] and the regularizer, one head after the other (the authors' form)."""
    assert mixer.query_hidden is not None
    assert mixer.state_value is not None
    q_tot, regularizer = network(mixer.state_value, state).squeeze(-1), torch.zeros(())
    for h in range(mixer.n_heads):
        hidden = F.relu(F.linear(state, mixer.query_hidden.weight[h], mixer.query_hidden.bias[h]))
        query = F.linear(hidden, mixer.query.weight[h])
        key = F.linear(units, mixer.key.weight[h])
        logits = torch.matmul(query.unsqueeze(1), key.transpose(1, 2)).squeeze(1)
        attention = F.softmax(logits * mixer.scale, -1)
        q_tot = q_tot + (attention * utilities).sum(-1)
        regularizer = regularizer + logits[mask].square().mean()
    return q_tot, mixer.attend_reg_coef * regularizer


def qmix(mixer: QMixer, utilities: Tensor, state: Tensor, units: Tensor, mask: Tensor) -> tuple:
    """Q_tot [M], one hypernetwork after the other, and no regularizer."""
    w1 = network(mixer.hyper_w1, state).abs().unflatten(-1, (mixer.n_agents, -1))
    hidden = F.elu(
        torch.bmm(utilities.unsqueeze(1), w1).squeeze(1) + network(mixer.hyper_b1, state)
    )
    q_tot = (hidden * network(mixer.hyper_w2, state).abs()).sum(-1)
    return q_tot + network(mixer.state_value, state).squeeze(-1), torch.zeros(())


def loss(module: ValueDecompositionRLModule, batch: Batch, gamma: float) -> Tensor:
    """Mean squared one-step TD error with double Q, plus the regularizer."""
    mix = {QattenMixer: qatten, QMixer: qmix}[type(module.mixer)]
    mask, actions = batch["mask"], batch["actions"]
    utilities = unroll(module.agent, batch)
    with torch.no_grad():
        target_utilities = unroll(module.target_agent, batch)[:, 1:]
        judge = utilities[:, 1:].masked_fill(~batch["legal"][:, 1:], -1e10)
        best = judge.argmax(-1, keepdim=True)
        values = target_utilities.gather(-1, best).squeeze(-1)
        following = batch["state"][:, 1:], batch["units"][:, 1:], mask
        next_q = mix(module.target_mixer, *_rows(values, *following))[0].view_as(mask)
        target = batch["rewards"] + gamma * (1 - batch["terminated"]) * next_q
    taken = utilities[:, :-1].gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    now = batch["state"][:, :-1], batch["units"][:, :-1], mask
    q_tot, regularizer = mix(module.mixer, *_rows(taken, *now))
    error = (q_tot.view_as(mask) - target) * mask
    return error.square().sum() / mask.sum() + regularizer


def _rows(*tensors: Tensor) -> list[Tensor]:
    return [tensor.flatten(0, 1) for tensor in tensors]
