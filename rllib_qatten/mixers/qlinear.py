"""QLinear: Qatten without attention."""

from typing import Literal

import torch

from rllib_qatten.hardware.fast_linear import linear
from rllib_qatten.mixers.base import Mixer, Rows, at_least, one_or_two_layers
from rllib_qatten.mixers.layers import Affine, Hypernet, fused_linear
from rllib_qatten.mixers.mixed import Mixed


class QLinearMixer(Mixer):
    """`Q_tot = c(s) + sum_i |f(u_i, s)| Q_i`, the control in the code of Qatten's authors.

    One network f, shared by the agents, weighs each utility; there is no softmax and there are no
    heads. f is (U + S) -> 64 -> ReLU -> 1 without an output bias, c(s) is S -> 32 -> ReLU -> 1.
    Absolute values keep dQ_tot/dQ_i >= 0, which implies IGM. For a given state it is affine in
    the utilities, as Qatten is.

    The same function as the authors'. Their code reads a setting `mask_dead` and ignores it; it is
    left out here. It slices u_i from the state; here unit features are an input.
    """

    uses_unit_features = True

    def __init__(
        self,
        n_agents: int,
        state_dim: int,
        unit_dim: int,
        *,
        mixing_embed_dim: int = 32,
        hypernet_layers: Literal[1, 2] = 2,
        hypernet_embed: int = 64,
        state_bias: bool = True,
    ) -> None:
        """Make f and c(s).

        Args:
            n_agents: N.
            state_dim: S.
            unit_dim: U.
            mixing_embed_dim: width of c(s).
            hypernet_layers: 1 or 2 layers of the agents' weights f.
            hypernet_embed: width between two such layers.
            state_bias: add c(s) to Q_tot.

        Raises:
            ValueError: an argument is out of range.
        """
        super().__init__(n_agents, state_dim, unit_dim)
        embed = at_least("mixing_embed_dim", mixing_embed_dim, 1)
        width = at_least("hypernet_embed", hypernet_embed, 1)
        hidden = width if one_or_two_layers(hypernet_layers) == 2 else None
        self.agent_weight = Hypernet(unit_dim + state_dim, 1, hidden, out_bias=False)
        self.state_value = Hypernet(state_dim, 1, embed) if state_bias else None

    def mix(self, rows: Rows) -> Mixed:
        """[M, N], [M, S], [M, N, U] -> [M]; f's first layer sees the state once, not N times."""
        assert rows.unit_features is not None  # forward has checked
        first = self.agent_weight.first
        of_unit, of_state = torch.split(first.weight, [self.unit_dim, self.state_dim], 1)
        more = [] if self.state_value is None else [self.state_value.first]
        shared, *value = fused_linear(rows.state, Affine(of_state, first.bias), *more)
        hidden = linear(rows.unit_features, of_unit) + shared.unsqueeze(1)
        weights = self.agent_weight.finish(hidden).squeeze(-1).abs()
        q_tot = (weights * rows.utilities).sum(-1)
        if self.state_value is None:
            return Mixed(q_tot, agent_weights=weights)
        state_value = self.state_value.finish(*value).squeeze(-1)
        return Mixed(q_tot + state_value, state_value=state_value, agent_weights=weights)
