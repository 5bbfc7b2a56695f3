"""QPLEX: utilities split into values and advantages, the advantages weighed by the joint action."""

from dataclasses import replace
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from rllib_qatten.mixers.base import Mixer, Rows, at_least
from rllib_qatten.mixers.layers import HeadNetwork, Hypernet, fused_linear
from rllib_qatten.mixers.mixed import Mixed
from rllib_qatten.mixers.qatten import QattenMixer

TINY = 1e-10
"""Keeps weights above zero, as in the authors' code."""


class QPLEXMixer(Mixer):
    """QPLEX, the duplex dueling mixer (Wang et al. 2021, arXiv 2008.01062).

    The state transforms each utility, then the joint action weighs what each agent loses by not
    being greedy; K kernels make the weights:

        qt_i     = w_i(s) Q_i + v_i(s)                                            w_i > 0
        vt_i     = w_i(s) max_a Q_i(a) + v_i(s)                          max over legal actions
        lambda_i = sum_k |key_k(s)| sigmoid(agent_k(s))_i sigmoid(action_k(s, a))_i         > 0
        Q_tot    = sum_i qt_i + sum_i (lambda_i - 1) (qt_i - vt_i)

    An advantage qt_i - vt_i is never positive and lambda_i is, so no joint action beats the greedy
    one, whose Q_tot is sum_i vt_i. The paper shows that this reaches every function with IGM.

    With `transformation="attention"`, Qatten's attention takes the place of the two networks, as
    the authors ran it on StarCraft (their `dmaq_qatten`); everything else is as before:

        w_i = sum_h w_h(s) lambda_ih          v_i = c(s) / N          (see `QattenMixer`, w_h = 1)

    Worth knowing:
        * The advantage in the last term carries no gradient, in the public codes and here. So
          dQ_tot/dQ_i is w_i, whatever lambda is, and `best_utilities` never get a gradient.
        * For a target, best utilities are the target network's own maximum, even where the action
          is the live network's choice; otherwise advantages could be positive.
        * What it can represent it need not learn: lambda must grow as fast as an advantage shrinks.
          One layer a kernel never finds the optimum of QTRAN's 3x3 game, the authors' setting for
          matrix games does (`mixer_preset="matrix_games"`; measured in docs/algorithms.md).

    Where this differs from the public codes:
        * Defaults are the authors' for StarCraft: 4 kernels, each net one layer. PyMARL2 has two
          layers (`adv_hypernet_layers=2`), the authors' matrix games 10 kernels of three.
        * Their switches for lambda without the minus one and for skipping the transformation are
          left out, and with attention those for dead agents, c(s) and utilities in the keys, which
          would give up IGM.
    """

    uses_actions: ClassVar[bool] = True

    def __init__(
        self,
        n_agents: int,
        state_dim: int,
        unit_dim: int = 0,
        *,
        n_actions: int,
        n_kernels: int = 4,
        hypernet_embed: int = 64,
        adv_hypernet_layers: Literal[1, 2, 3] = 1,
        adv_hypernet_embed: int = 64,
        transformation: Literal["networks", "attention"] = "networks",
        n_heads: int = 4,
        weighted_heads: bool = False,
        attend_reg_coef: float = 0.001,
    ) -> None:
        """Make the transformation and the kernels.

        Args:
            n_agents: N.
            state_dim: S.
            unit_dim: U; ignored unless the transformation is attention.
            n_actions: A.
            n_kernels: how many products add up to lambda, K; 10 is usual in matrix games.
            hypernet_embed: width of the two-layer networks w(s) and v(s).
            adv_hypernet_layers: 1, 2 or 3 layers of each kernel's three networks.
            adv_hypernet_embed: width between these layers.
            transformation: where w_i and v_i come from: "networks" of the state, or Qatten's
                "attention", whose options are the following ones.
            n_heads: attention heads, H.
            weighted_heads: weigh the heads by w_h(s).
            attend_reg_coef: factor of the regularizer of Qatten's attention; 0 switches it off.

        Raises:
            ValueError: an argument is out of range.
        """
        super().__init__(n_agents, state_dim, unit_dim, n_actions)
        kernels = at_least("n_kernels", n_kernels, 1)
        width = at_least("hypernet_embed", hypernet_embed, 1)
        kernel_width = at_least("adv_hypernet_embed", adv_hypernet_embed, 1)
        if adv_hypernet_layers not in (1, 2, 3):
            raise ValueError(f"adv_hypernet_layers must be 1, 2 or 3, got {adv_hypernet_layers!r}")
        if transformation not in ("networks", "attention"):
            raise ValueError(
                f'transformation must be "networks" or "attention", got {transformation!r}'
            )
        between = [kernel_width] * (adv_hypernet_layers - 1)
        n, joint = self.n_agents, self.n_agents * self.n_actions
        self.attention: QattenMixer | None = None
        if transformation == "attention":
            self.uses_unit_features = True
            self.n_heads = n_heads
            self.attention = QattenMixer(
                n,
                state_dim,
                unit_dim,
                n_heads=n_heads,
                hypernet_embed=width,
                weighted_heads=weighted_heads,
                attend_reg_coef=attend_reg_coef,
            )
        else:
            self.hyper_w = Hypernet(state_dim, n, width)
            self.hyper_v = Hypernet(state_dim, n, width)
        self.lambda_key = HeadNetwork(kernels, [state_dim, *between, 1])
        self.lambda_agent = HeadNetwork(kernels, [state_dim, *between, n])
        self.lambda_action = HeadNetwork(kernels, [state_dim + joint, *between, n])

    def mix(self, rows: Rows) -> Mixed:
        """[M, N] utilities, actions and best utilities, [M, S] -> [M]; all kernels at once."""
        utilities, state, *_, actions, best = rows
        assert actions is not None  # forward has checked
        assert best is not None
        nets: list[Hypernet | HeadNetwork] = [self.lambda_key, self.lambda_agent]
        if self.attention is None:
            nets = [self.hyper_w, self.hyper_v, *nets]
        outputs = fused_linear(state, *(net.first for net in nets))
        *w_and_v, key, agent = (net.finish(y) for net, y in zip(nets, outputs, strict=True))
        joint_action = F.one_hot(actions, self.n_actions).flatten(1).to(state.dtype)
        (of_action,) = fused_linear(torch.cat([state, joint_action], -1), self.lambda_action.first)
        action = self.lambda_action.finish(of_action)
        # [M, K, 1] and [M, K, N] -> [M, N].
        lambdas = ((key.abs() + TINY) * agent.sigmoid() * action.sigmoid()).sum(1)
        if self.attention is None:
            w, v = w_and_v
            w, parts = w.abs(), Mixed(utilities, state_value=v.sum(-1))
        else:
            parts = self.attention.mix(rows)
            w = _weights(parts)
        assert parts.state_value is not None
        w = w + TINY
        advantages = (w * (utilities - best)).detach()
        q_tot = (w * utilities).sum(-1) + parts.state_value + ((lambdas - 1) * advantages).sum(-1)
        return replace(parts, q_tot=q_tot, agent_weights=lambdas)


def _weights(attended: Mixed) -> Tensor:
    """[M, N] what Qatten multiplies the utilities with: attention, summed over its heads."""
    attention, heads = attended.attention, attended.head_weights
    assert attention is not None
    return (attention if heads is None else attention * heads.unsqueeze(-1)).sum(1)
