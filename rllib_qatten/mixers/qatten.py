"""Qatten: multi-head attention of the state over the agents."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from rllib_qatten.mixers import compiled
from rllib_qatten.mixers.base import Mixer, Rows, at_least, one_or_two_layers
from rllib_qatten.mixers.compiled_qatten import QattenMixing
from rllib_qatten.mixers.layers import Affine, HeadLinear, Hypernet, fused_linear
from rllib_qatten.mixers.mixed import Mixed


class QattenMixer(Mixer):
    """Qatten (Yang et al. 2020, arXiv 2002.03939).

    Queries come from the global state, keys from the agents' own features u_i; each head averages
    the utilities by its attention, and the heads are added (paper, equations 8 to 12):

        lambda_ih = softmax_i( (W_q,h s) . (W_k,h u_i) / sqrt(E) )            attention  [H, N]
        Q^h       = sum_i lambda_ih Q_i                                       head value [H]
        Q_tot     = c(s) + sum_h w_h(s) Q^h                                   w_h = 1, or |f(s)|_h

    Defaults are the authors' released setting: 4 heads of 32, query S -> 64 -> ReLU -> 32 without
    an output bias, key U -> 32 without bias, c(s) S -> 32 -> ReLU -> 1, heads added unweighted.

    Worth knowing:
        * For a given state Q_tot is affine in the utilities: in a one-state game it represents
          what VDN does, additive payoffs and no others.
        * With weights summing to W = H (or sum_h w_h), c + W min Q_i <= Q_tot <= c + W max Q_i, so
          utilities are on the scale of Q_tot / W and cannot be compared with VDN's.
        * `q_in_key` lets attention depend on Q_i. Then dQ_tot/dQ_i can be negative and IGM fails;
          `claims_igm` is then False. Neither the paper nor any public code mentions it.
        * Heads are not split from E: each has the full E, and sqrt(E) is the scale.

    Where this differs from the public codes:
        * Authors' code: it detects dead agents by action == 0, which holds in StarCraft only; here
          `alive` is an input. Its regularizer also averages over padded rows; see
          `reg_over_padding`. It slices u_i from the state; here unit features are an input.
        * PyMARL2: biases in all query and key layers (`attention_bias`), weighted heads, no
          regularizer; the preset `pymarl2` sets these.
    """

    uses_unit_features = True

    def __init__(
        self,
        n_agents: int,
        state_dim: int,
        unit_dim: int,
        *,
        n_heads: int = 4,
        mixing_embed_dim: int = 32,
        hypernet_layers: Literal[1, 2] = 2,
        hypernet_embed: int = 64,
        weighted_heads: bool = False,
        q_in_key: bool = False,
        mask_dead: bool = False,
        state_bias: bool = True,
        attend_reg_coef: float = 0.01,
        reg_over_padding: bool = False,
        attention_bias: bool = False,
    ) -> None:
        """Make queries, keys, head weights and c(s).

        Args:
            n_agents: N.
            state_dim: S.
            unit_dim: U.
            n_heads: attention heads, H.
            mixing_embed_dim: length of a query and a key, E, and width of c(s).
            hypernet_layers: 1 or 2 layers from the state to queries and head weights.
            hypernet_embed: width between two such layers.
            weighted_heads: weigh the heads by w_h(s) = |f(s)|_h (equation 12).
            q_in_key: let keys see (u_i, Q_i); gives up the IGM guarantee.
            mask_dead: give agents that are not alive no attention; if none is alive, 1/N each.
            state_bias: add c(s) to Q_tot.
            attend_reg_coef: factor of the regularizer sum_h mean_{rows, i} logit_ih^2, where logits
                are taken before scaling and masking; 0 switches it off.
            reg_over_padding: average the regularizer over all rows, as the authors do, instead of
                only those where `mask` is True; training batches are then padded, and learning
                is slower.
            attention_bias: biases in all query and key layers. Those of the keys add the same to
                all agents' logits, so they only matter to the regularizer.

        Raises:
            ValueError: an argument is out of range.
        """
        super().__init__(n_agents, state_dim, unit_dim)
        heads = at_least("n_heads", n_heads, 1)
        embed = at_least("mixing_embed_dim", mixing_embed_dim, 1)
        width = at_least("hypernet_embed", hypernet_embed, 1)
        hidden = width if one_or_two_layers(hypernet_layers) == 2 else None
        if not 0 <= attend_reg_coef < float("inf"):
            raise ValueError(f"attend_reg_coef must be finite and >= 0, got {attend_reg_coef!r}")
        self.n_heads = heads
        self.q_in_key = q_in_key
        self.mask_dead = mask_dead
        self.attend_reg_coef = attend_reg_coef
        self.reg_over_padding = reg_over_padding
        self.scale = embed**-0.5
        self.query_hidden = HeadLinear(heads, state_dim, hidden, bias=True) if hidden else None
        self.query = HeadLinear(heads, hidden or state_dim, embed, attention_bias)
        self.key = HeadLinear(heads, unit_dim + q_in_key, embed, attention_bias)
        self.head_weight = Hypernet(state_dim, heads, hidden) if weighted_heads else None
        self.state_value = Hypernet(state_dim, 1, embed) if state_bias else None

    @property
    def claims_igm(self) -> bool:
        """True unless Q_i is part of the key."""
        return not self.q_in_key

    def mix(self, rows: Rows) -> Mixed:
        """[M, N], [M, S], [M, N, U] -> [M]; all heads and agents at once."""
        assert rows.unit_features is not None  # forward has checked
        if self.mask_dead and rows.alive is None:
            raise ValueError(
                "Qatten with mask_dead=True expected alive [*B, N], got None: pass which "
                "agents still act, or build it with mask_dead=False"
            )
        folded = self._folded()
        features = self._key_inputs(rows.unit_features, rows.utilities)
        weights = self._weights(rows.state, folded)
        if compiled.suits("qatten", rows.state, [rows.utilities, features, *weights]):
            return self._mix_compiled(rows, folded, features, weights)
        return self._mix_by_torch(rows, folded, features)

    def _mix_compiled(
        self, rows: Rows, folded: Affine, features: Tensor, weights: list[Tensor]
    ) -> Mixed:
        state, alive = rows.state, rows.alive if self.mask_dead else None
        counts = self._counts(rows)

        def of_part(part: slice) -> QattenMixing:
            living, counted = (None if x is None else x[part] for x in (alive, counts))
            return QattenMixing(state[part], living, self.scale, counted)

        def reference(utilities: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
            mixed = self._mix_by_torch(rows._replace(utilities=utilities), folded, features)
            return mixed.q_tot, mixed.regularizer

        m, n = rows.utilities.shape
        mixing = compiled.SharedMixing(m, n, of_part)
        q_tot, regularizer = compiled.run(mixing, reference, rows.utilities, features, weights)
        return Mixed(
            q_tot,
            regularizer,
            mixing.of_rows("attention"),
            mixing.of_rows("logits"),
            mixing.of_rows("values"),
            mixing.of_rows("head_weights").abs() if self.head_weight is not None else None,
            mixing.of_rows("state_value") if self.state_value is not None else None,
        )

    def _counts(self, rows: Rows) -> Tensor | None:
        """[M] the factor of each row's squared logits in the regularizer; None without one."""
        if not self.attend_reg_coef or not torch.is_grad_enabled():
            return None
        m, n = rows.utilities.shape
        counted = None if self.reg_over_padding else rows.mask
        counted = rows.state.new_ones(m) if counted is None else counted.to(rows.state.dtype)
        return counted * (self.attend_reg_coef / max(float(counted.sum()) * n, 1.0))

    def _weights(self, state: Tensor, folded: Affine) -> list[Tensor]:
        """All parameters, in the order that the compiled functions take them in."""
        none = state.new_empty(0, 0)
        first = [none.unsqueeze(-1), none]
        if self.query_hidden is not None:
            first = [*self.query_hidden.parameters()]
        last = [folded.weight, none if folded.bias is None else folded.bias]
        nets = self.head_weight, self.state_value
        return [*first, *last, *(w for net in nets for w in compiled.network(net, state))]

    def _mix_by_torch(self, rows: Rows, folded: Affine, features: Tensor) -> Mixed:
        utilities, state, _, alive, mask, *_ = rows
        probes, head_weights, state_value = self._read(state, folded)
        logits = torch.bmm(probes, features.mT)  # [M, H, N]
        # Agents come first from here on: a softmax over a short last axis is twenty times slower.
        by_agent = logits.permute(2, 0, 1).contiguous()
        scores = by_agent * self.scale
        if self.mask_dead:
            assert alive is not None  # `mix` has checked
            # Finite, so that a team of dead agents shares attention evenly.
            dead = ~alive.t().unsqueeze(-1)
            scores = scores.masked_fill(dead, torch.finfo(scores.dtype).min)
        attention = F.softmax(scores, dim=0)
        head_values = (attention * utilities.t().unsqueeze(-1)).sum(0)  # [M, H]
        heads = head_values if head_weights is None else head_values * head_weights
        q_tot = heads.sum(-1)
        return Mixed(
            q_tot if state_value is None else q_tot + state_value,
            self._regularizer(by_agent, mask, q_tot.dtype),
            attention.permute(1, 2, 0),
            logits,
            head_values,
            head_weights,
            state_value,
        )

    def _folded(self) -> Affine:
        """The last layer of the probes K_h^T q_h: weight [H, U', in], bias [H, U'].

        A logit is q_h . K_h u_i = (K_h^T q_h) . u_i. Multiplying K_h^T into the query's last layer
        once leaves U' numbers per head and row, and keys are never computed.
        """
        query, key = self.query, self.key.weight.mT  # [H, U', E]
        if self.key.bias is not None:
            key = torch.cat([key, self.key.bias.unsqueeze(1)], 1)
        return Affine(
            torch.bmm(key, query.weight),
            None if query.bias is None else torch.bmm(key, query.bias.unsqueeze(-1)).squeeze(-1),
        )

    def _read(self, state: Tensor, folded: Affine) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """State [M, S] -> probes [M, H, U'], head weights [M, H], state value [M]."""
        nets = [net for net in (self.head_weight, self.state_value) if net is not None]
        first, *outputs = fused_linear(
            state, self.query_hidden or folded, *(net.first for net in nets)
        )
        probes = first.view(len(state), self.n_heads, first.shape[-1] // self.n_heads)
        if self.query_hidden is not None:
            hidden = F.relu(probes).transpose(0, 1)  # [H, M, hypernet_embed]
            if folded.bias is None:
                probes = torch.bmm(hidden, folded.weight.mT)
            else:
                probes = torch.baddbmm(folded.bias.unsqueeze(1), hidden, folded.weight.mT)
            probes = probes.transpose(0, 1)
        results = iter([net.finish(y) for net, y in zip(nets, outputs, strict=True)])
        head_weights = None if self.head_weight is None else next(results).abs()
        state_value = None if self.state_value is None else next(results).squeeze(-1)
        return probes, head_weights, state_value

    def _key_inputs(self, unit_features: Tensor, utilities: Tensor) -> Tensor:
        """What keys are linear in, [M, N, U']: u_i, then Q_i and a 1 that multiplies the bias."""
        parts = [unit_features]
        if self.q_in_key:
            parts.append(utilities.unsqueeze(-1))
        if self.key.bias is not None:
            parts.append(torch.ones_like(unit_features[..., :1]))
        return torch.cat(parts, -1) if len(parts) > 1 else unit_features

    def _regularizer(self, logits: Tensor, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Logits [N, M, H] -> coefficient times the sum over heads of the mean square, scalar."""
        if not self.attend_reg_coef or not torch.is_grad_enabled():
            return logits.new_zeros((), dtype=dtype)
        if mask is not None and not self.reg_over_padding:
            logits = logits[:, mask]
        terms = max(logits.shape[0] * logits.shape[1], 1)
        return logits.square().sum(dtype=dtype) * (self.attend_reg_coef / terms)
