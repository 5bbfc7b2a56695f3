"""QTRAN-alt's joint critic: for each agent, the joint values of all its own actions."""

import torch
import torch.nn.functional as F
from torch import Tensor

from rllib_qatten.hardware.fast_linear import linear
from rllib_qatten.mixers.base import at_least
from rllib_qatten.mixers.layers import mlp
from rllib_qatten.mixers.qtran import JointCritic


class QTRANAltCritic(JointCritic):
    """Counterfactual Q_jt and V_jt of QTRAN-alt (Son et al. 2019, arXiv 1905.05408, theorem 2).

    One network, shared by the agents, values all actions of agent i while the others keep theirs;
    it must not see agent i's own action:

        Q_jt(., a_-i) = MLP([s; onehot(i); sum_j enc_h(h_j); sum_{j != i} enc_a(a_j)])       [A]
        V_jt          = MLP([s; sum_j enc_v(h_j)])

    Encoders are two linear layers of the width of what they read, with one ReLU; the MLPs have two
    hidden layers of 64. The N estimates of one joint action's value may therefore differ.

    PyMARL, PyMARL2 and EPyMARL know the name `qtran_alt` and do not implement it; the layout is
    that of the one public code that does (starry-sky6688's MARL-Algorithms).
    """

    def __init__(
        self,
        n_agents: int,
        state_dim: int,
        n_actions: int,
        hidden_size: int,
        *,
        mixing_embed_dim: int = 64,
    ) -> None:
        """Make the networks.

        Args:
            n_agents: N.
            state_dim: S.
            n_actions: A.
            hidden_size: h, length of an agent's hidden state.
            mixing_embed_dim: width of the hidden layers.

        Raises:
            ValueError: an argument is out of range.
        """
        super().__init__(n_agents, state_dim, n_actions, hidden_size)
        s, n, h, a = state_dim, n_agents, hidden_size, n_actions
        embed = at_least("mixing_embed_dim", mixing_embed_dim, 1)
        self.action_encoder = mlp(a, a, a)
        self.hidden_encoder = mlp(h, h, h)
        self.value_encoder = mlp(h, h, h)
        self.joint_net = mlp(s + n + h + a, embed, embed, a)
        self.value_net = mlp(s + h, embed, embed, 1)

    def joint_values(self, state: Tensor, hidden: Tensor, actions: Tensor) -> Tensor:
        """Q_jt of every action of every agent, given the other agents' actions.

        Args:
            state: [*B, S].
            hidden: [*B, N, h] hidden states of the step.
            actions: [*B, N] int64.

        Returns:
            [*B, N, A], legal actions or not; the entry of agent i's own action estimates the value
            of the joint action `actions`.

        Raises:
            ValueError: a shape or dtype is not as above.
        """
        self.check(state, hidden, actions)
        encoded = self.action_encoder(F.one_hot(actions, self.n_actions).to(state.dtype))
        others = encoded.sum(-2, keepdim=True) - encoded  # [*B, N, A]
        team = torch.cat([state, self.hidden_encoder(hidden).sum(-2)], -1).unsqueeze(-2)
        # The first layer sees what all agents share once, not N times.
        weight, bias = self.joint_net[0].parameters()
        sizes = [self.state_dim, self.n_agents, self.hidden_size, self.n_actions]
        of_state, of_id, of_hidden, of_others = torch.split(weight, sizes, 1)
        shared = linear(team, torch.cat([of_state, of_hidden], 1), bias)
        first = shared + of_id.t() + linear(others, of_others)  # [*B, N, 64]
        values: Tensor = self.joint_net[1:](first)
        return values

    def state_value(self, state: Tensor, hidden: Tensor) -> Tensor:
        """V_jt, [*B, S] and [*B, N, h] -> [*B].

        Raises:
            ValueError: a shape is not as above.
        """
        self.check(state, hidden)
        team = self.value_encoder(hidden).sum(-2)
        value: Tensor = self.value_net(torch.cat([state, team], -1))
        return value.squeeze(-1)
