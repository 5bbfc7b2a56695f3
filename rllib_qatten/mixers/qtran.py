"""QTRAN's joint critic: a value of state, hidden states and joint action, and a value of the state.

It is not a mixer: not a function of the utilities, which instead learn to add up to it.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rllib_qatten.mixers.base import at_least, check_input
from rllib_qatten.mixers.layers import mlp

Architecture = Literal["qtran_paper", "coma_critic"]
NetworkSize = Literal["small", "big"]


class JointCritic(nn.Module):
    """The sizes of a critic of joint actions, and its input checks."""

    def __init__(self, n_agents: int, state_dim: int, n_actions: int, hidden_size: int) -> None:
        """Remember the sizes N, S, A and h.

        Raises:
            ValueError: a size is not a positive integer.
        """
        super().__init__()
        self.n_agents = at_least("n_agents", n_agents, 1)
        self.state_dim = at_least("state_dim", state_dim, 1)
        self.n_actions = at_least("n_actions", n_actions, 1)
        self.hidden_size = at_least("hidden_size", hidden_size, 1)

    def check(
        self, state: Tensor, hidden: Tensor | None = None, actions: Tensor | None = None
    ) -> None:
        """Raise a readable ValueError unless these are [*B, S], [*B, N, h] and [*B, N] int64."""
        batch, n = state.shape[:-1], self.n_agents
        check_input(self, "state", state, (*batch, self.state_dim), "[*B, S]", leader="state")
        if hidden is not None:
            shape = (*batch, n, self.hidden_size)
            check_input(self, "hidden", hidden, shape, "[*B, N, h]", leader="state")
        if actions is not None:
            check_input(self, "actions", actions, (*batch, n), "[*B, N]", torch.int64, "state")


class QTRANCritic(JointCritic):
    """Q_jt and V_jt of QTRAN-base (Son et al. 2019, arXiv 1905.05408), as in PyMARL.

    Architecture:
        * `qtran_paper`: `Q_jt = MLP([s; sum_i enc([h_i; onehot(a_i)])])`, enc two linear layers of
          width h + A with one ReLU. The value does not depend on the order of the agents.
        * `coma_critic`: `Q_jt = MLP([s; onehot(a_1); ...; onehot(a_N)])`, hidden states unused.

    The MLP and V_jt(s) have two hidden layers (`small`) or three (`big`).

    Hidden states are not detached, so that the critic's loss trains the agents' network too.

    Where this differs: from the paper, in that V_jt reads s alone and no hidden states, as in all
    PyMARL codes; from PyMARL, in that `coma_critic` has no encoder (theirs has one, unused).
    PyMARL2's learner reshapes hidden states [B, N, h] as if they were [B * N, h], which mixes
    agents and steps; here the agents' axis is explicit.
    """

    def __init__(
        self,
        n_agents: int,
        state_dim: int,
        n_actions: int,
        hidden_size: int,
        *,
        qtran_arch: Architecture = "qtran_paper",
        network_size: NetworkSize = "small",
        mixing_embed_dim: int = 64,
    ) -> None:
        """Make the networks.

        Args:
            n_agents: N.
            state_dim: S.
            n_actions: A.
            hidden_size: h, length of an agent's hidden state.
            qtran_arch: what Q_jt reads: "qtran_paper", hidden states and actions, or "coma_critic",
                the state and actions.
            network_size: two hidden layers ("small"), or three ("big").
            mixing_embed_dim: width of the hidden layers.

        Raises:
            ValueError: an argument is out of range.
        """
        super().__init__(n_agents, state_dim, n_actions, hidden_size)
        embed = at_least("mixing_embed_dim", mixing_embed_dim, 1)
        for name, value, known in (
            ("qtran_arch", qtran_arch, Architecture),
            ("network_size", network_size, NetworkSize),
        ):
            if value not in get_args(known):
                raise ValueError(f"{name} must be one of {get_args(known)}, got {value!r}")
        hidden_layers = [embed] * (2 if network_size == "small" else 3)
        self.action_encoder: nn.Module | None = None
        if qtran_arch == "qtran_paper":
            joint = self.hidden_size + self.n_actions
            self.action_encoder = mlp(joint, joint, joint)
        else:
            joint = self.n_agents * self.n_actions
        self.joint_net = mlp(self.state_dim + joint, *hidden_layers, 1)
        self.value_net = mlp(self.state_dim, *hidden_layers, 1)

    def joint_value(self, state: Tensor, hidden: Tensor, actions: Tensor) -> Tensor:
        """Q_jt of a joint action.

        Args:
            state: [*B, S].
            hidden: [*B, N, h] hidden states of the step; `coma_critic` ignores them.
            actions: [*B, N] int64.

        Returns:
            [*B].

        Raises:
            ValueError: a shape or dtype is not as above.
        """
        self.check(state, None if self.action_encoder is None else hidden, actions)
        chosen = F.one_hot(actions, self.n_actions).to(state.dtype)
        if self.action_encoder is None:
            joint = chosen.flatten(-2)
        else:
            joint = self.action_encoder(torch.cat([hidden, chosen], -1)).sum(-2)
        value: Tensor = self.joint_net(torch.cat([state, joint], -1))
        return value.squeeze(-1)

    def state_value(self, state: Tensor) -> Tensor:
        """V_jt, [*B, S] -> [*B].

        Raises:
            ValueError: the state's length is not S.
        """
        self.check(state)
        value: Tensor = self.value_net(state)
        return value.squeeze(-1)
