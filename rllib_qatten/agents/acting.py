"""The acting step: `RecurrentAgent.step` without gradient and without allocating memory."""

import torch
from torch import Tensor
from torch.nn import functional as F

from rllib_qatten.agents.recurrent import RecurrentAgent


class ActingStep:
    """Steps a fixed number of rows with a copy of an agent's weights.

    The same numbers as `RecurrentAgent.step` up to rounding, in about four fifths of its time.
    """

    def __init__(self, agent: RecurrentAgent, rows: int) -> None:
        """Makes the buffers and copies the weights.

        Args:
            agent: Whose weights are copied, now and at every `refresh`.
            rows: R, the number of rows of every call: games times agents.
        """
        self._agent = agent
        hidden_size = agent.gru.hidden_size
        empty = agent.head.weight.detach().new_empty
        self._encoded = empty(rows, hidden_size)
        self._gates = empty(rows, 3 * hidden_size)
        self._new = empty(rows, hidden_size)
        self._utilities = empty(rows, agent.head.out_features)
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Copies the agent's weights; call it whenever they have changed."""
        encoder, gru, head = self._agent.encoder, self._agent.gru, self._agent.head
        rz = 2 * gru.hidden_size
        self._encoder = encoder.bias.clone(), encoder.weight.t().contiguous()
        # The hidden bias of r and z just adds to the input's; that of n is scaled by r.
        bias = gru.bias_ih + F.pad(gru.bias_hh[:rz], (0, gru.hidden_size))
        self._from_input = bias, gru.weight_ih.t().contiguous()
        self._to_rz = gru.weight_hh[:rz].t().contiguous()
        self._to_n = gru.bias_hh[rz:].clone(), gru.weight_hh[rz:].t().contiguous()
        self._head = head.bias.clone(), head.weight.t().contiguous()

    def __call__(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        """One step.

        Args:
            inputs: [R, I].
            hidden: [R, h], replaced in place by the next hidden state.

        Returns:
            Utilities [R, A], overwritten by the next call.

        Raises:
            ValueError: If inputs or hidden do not have R rows.
        """
        rows = len(self._new)
        if len(inputs) != rows or len(hidden) != rows:
            raise ValueError(
                f"inputs and hidden must have the {rows} rows this step was made for, got "
                f"{list(inputs.shape)} and {list(hidden.shape)}"
            )
        size = hidden.shape[1]
        gates, new = self._gates, self._new
        encoded = _affine(inputs, self._encoder, self._encoded).relu_()
        _affine(encoded, self._from_input, gates)
        rz = gates[:, : 2 * size].addmm_(hidden, self._to_rz).sigmoid_()
        _affine(hidden, self._to_n, new)
        torch.addcmul(gates[:, 2 * size :], rz[:, :size], new, out=new)
        new.mul_(2).sigmoid_().mul_(2).sub_(1)  # tanh, see packed_gru.py
        torch.lerp(new, hidden, rz[:, size:], out=hidden)
        return _affine(hidden, self._head, self._utilities)


def _affine(inputs: Tensor, layer: tuple[Tensor, Tensor], out: Tensor) -> Tensor:
    """A linear layer, written into `out`; a layer is its bias and its transposed weight."""
    return torch.addmm(layer[0], inputs, layer[1], out=out)
