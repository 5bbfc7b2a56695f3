"""QMIX: a small network of the utilities with non-negative weights computed from the state."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from rllib_qatten.mixers import compiled
from rllib_qatten.mixers.base import Mixer, Rows, at_least, one_or_two_layers
from rllib_qatten.mixers.compiled_qmix import QMIXing
from rllib_qatten.mixers.layers import Hypernet, fused_linear
from rllib_qatten.mixers.mixed import Mixed


class QMixer(Mixer):
    """`Q_tot = ELU(Q |W_1(s)| + b_1(s)) |w_2(s)| + V(s)` (Rashid et al. 2018).

    W_1(s) is [N, E], agent-major; b_1 is linear in s; V(s) is S -> E -> ReLU -> 1. Absolute values
    keep dQ_tot/dQ_i >= 0, which implies IGM. The same function as PyMARL's, with its StarCraft
    sizes.
    """

    def __init__(
        self,
        n_agents: int,
        state_dim: int,
        unit_dim: int = 0,
        *,
        mixing_embed_dim: int = 32,
        hypernet_layers: Literal[1, 2] = 2,
        hypernet_embed: int = 64,
    ) -> None:
        """Make the hypernetworks.

        Args:
            n_agents: N.
            state_dim: S.
            unit_dim: ignored.
            mixing_embed_dim: width of the mixing network, E.
            hypernet_layers: 1 or 2 layers of each hypernetwork, from the state to W_1 and w_2.
            hypernet_embed: width of a 2-layer hypernetwork.

        Raises:
            ValueError: an argument is out of range.
        """
        super().__init__(n_agents, state_dim, unit_dim)
        embed = at_least("mixing_embed_dim", mixing_embed_dim, 1)
        width = at_least("hypernet_embed", hypernet_embed, 1)
        hidden = width if one_or_two_layers(hypernet_layers) == 2 else None
        self.hyper_w1 = Hypernet(state_dim, n_agents * embed, hidden)
        self.hyper_b1 = Hypernet(state_dim, embed)
        self.hyper_w2 = Hypernet(state_dim, embed, hidden)
        self.state_value = Hypernet(state_dim, 1, embed)

    @property
    def _nets(self) -> tuple[Hypernet, ...]:
        return self.hyper_w1, self.hyper_b1, self.hyper_w2, self.state_value

    def mix(self, rows: Rows) -> Mixed:
        """[M, N], [M, S] -> [M]."""
        utilities, state = rows.utilities, rows.state
        weights = [weight for net in self._nets for weight in compiled.network(net, state)]
        if not compiled.suits("qmix", state, [utilities, *weights]):
            return self._mix_by_torch(rows)
        m, n = utilities.shape
        mixing = compiled.SharedMixing(m, n, lambda part: QMIXing(state[part]))

        def reference(utilities: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
            mixed = self._mix_by_torch(rows._replace(utilities=utilities))
            return mixed.q_tot, mixed.regularizer

        q_tot, _ = compiled.run(mixing, reference, utilities, state, weights)
        return Mixed(q_tot, state_value=mixing.of_rows("state_value"))

    def _mix_by_torch(self, rows: Rows) -> Mixed:
        utilities, state = rows.utilities, rows.state
        nets = self._nets
        outputs = fused_linear(state, *(net.first for net in nets))
        w1, b1, w2, value = (net.finish(y) for net, y in zip(nets, outputs, strict=True))
        w1 = w1.abs().view(*utilities.shape, b1.shape[-1])
        hidden = F.elu(torch.bmm(utilities.unsqueeze(1), w1).squeeze(1) + b1)
        value = value.squeeze(-1)
        # The sum is as exact as the utilities are, also under autocast.
        q_tot = (hidden * w2.abs()).sum(-1, dtype=utilities.dtype) + value
        return Mixed(q_tot, state_value=value)
