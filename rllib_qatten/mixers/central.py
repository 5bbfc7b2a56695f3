"""WQMIX's central value: any function of state and utilities."""

import torch

from rllib_qatten.mixers.base import Mixer, Rows, at_least
from rllib_qatten.mixers.layers import Hypernet, mlp
from rllib_qatten.mixers.mixed import Mixed


class CentralMixer(Mixer):
    """`Q_hat* = MLP([s; Q_1..Q_N]) + V(s)` of weighted QMIX (Rashid et al. 2020, arXiv 2006.10800).

    Three hidden ReLU layers of 256; V(s) is S -> 256 -> ReLU -> 1. Nothing keeps it monotonic, so
    it can value any joint action right and IGM fails: it serves for targets, never for acting.

    The same function as the authors' feed-forward central mixer, which PyMARL2 has too; their
    other one, with hypernetworks, is left out. It takes the utilities of separate agent networks.
    """

    def __init__(
        self, n_agents: int, state_dim: int, unit_dim: int = 0, *, mixing_embed_dim: int = 256
    ) -> None:
        """Make the network and V(s).

        Args:
            n_agents: N.
            state_dim: S.
            unit_dim: ignored.
            mixing_embed_dim: width of all hidden layers.

        Raises:
            ValueError: an argument is out of range.
        """
        super().__init__(n_agents, state_dim, unit_dim)
        width = at_least("mixing_embed_dim", mixing_embed_dim, 1)
        self.net = mlp(state_dim + n_agents, width, width, width, 1)
        self.state_value = Hypernet(state_dim, 1, width)

    @property
    def claims_igm(self) -> bool:
        """False: a larger utility may well lower the value."""
        return False

    def mix(self, rows: Rows) -> Mixed:
        """[M, N], [M, S] -> [M]."""
        state_value = self.state_value(rows.state).squeeze(-1)
        value = self.net(torch.cat([rows.state, rows.utilities], -1)).squeeze(-1)
        q_tot = value.to(rows.utilities.dtype) + state_value
        return Mixed(q_tot, state_value=state_value)
