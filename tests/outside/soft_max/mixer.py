"""A mixer that this package does not have."""

import torch

from rllib_qatten.mixers import Mixed, Mixer, Rows
from rllib_qatten.mixers.layers import mlp


class SoftMaxMixer(Mixer):
    """`Q_tot = sharpness * logsumexp(Q_i / sharpness) + V(s)`: monotonic, so IGM holds."""

    def __init__(
        self,
        n_agents: int,
        state_dim: int,
        unit_dim: int = 0,
        *,
        sharpness: float = 2.0,
        value_dim: int = 16,
    ) -> None:
        """Make V(s).

        Args:
            n_agents: N.
            state_dim: S.
            unit_dim: ignored.
            sharpness: scale of the utilities within the exponential.
            value_dim: width of V(s).
        """
        super().__init__(n_agents, state_dim, unit_dim)
        self.sharpness = sharpness
        self.value = mlp(state_dim, value_dim, 1)
        # Like a batch norm's: whole numbers beside the weights.
        self.register_buffer("rows_mixed", torch.zeros((), dtype=torch.int64))

    def mix(self, rows: Rows) -> Mixed:
        """[M, N], [M, S] -> [M]."""
        self.rows_mixed += len(rows.state)
        value = self.value(rows.state).squeeze(-1)
        soft = torch.logsumexp(rows.utilities / self.sharpness, -1) * self.sharpness
        return Mixed(soft + value, state_value=value)
