"""Building blocks of mixers: stacked heads, hypernetworks, several layers in one product."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rllib_qatten.hardware.fast_linear import Linear, linear


class Affine(NamedTuple):
    """A weight [..., out, in] and a bias [..., out] that are computed, not learned directly."""

    weight: Tensor
    bias: Tensor | None


class HeadLinear(nn.Module):
    """H independent linear maps in one `weight` [H, out, in] and one `bias` [H, out].

    Each head starts as an `nn.Linear` of its own would: uniform within +-1/sqrt(in).
    """

    def __init__(self, n_heads: int, in_features: int, out_features: int, bias: bool) -> None:
        """Make `n_heads` maps from `in_features` to `out_features` numbers."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_heads, out_features, in_features))
        self.bias = nn.Parameter(torch.empty(n_heads, out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize all parameters again."""
        bound = self.weight.shape[-1] ** -0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        """Sizes, as `nn.Linear` shows them."""
        heads, out, inp = self.weight.shape
        return f"heads={heads}, in_features={inp}, out_features={out}, bias={self.bias is not None}"


class Hypernet(nn.Module):
    """A network of the state: one linear layer, or two with ReLU between them.

    Networks that read the same state share one matrix product for their first layers:

        outputs = fused_linear(state, *(net.first for net in nets))
        results = [net.finish(output) for net, output in zip(nets, outputs)]
    """

    def __init__(
        self, state_dim: int, out_features: int, hidden: int | None = None, out_bias: bool = True
    ) -> None:
        """Make the network; `hidden` is the width between two layers, None means one layer."""
        super().__init__()
        if hidden is None:
            self.first, self.last = Linear(state_dim, out_features, out_bias), None
        else:
            self.first = Linear(state_dim, hidden)
            self.last = Linear(hidden, out_features, out_bias)

    def finish(self, first_output: Tensor) -> Tensor:
        """What follows the first layer."""
        return first_output if self.last is None else self.last(F.relu(first_output))

    def forward(self, state: Tensor) -> Tensor:
        """State [..., S] -> [..., out_features]."""
        return self.finish(self.first(state))


class HeadNetwork(nn.Module):
    """H independent networks, each of linear layers with ReLU between; used like a `Hypernet`."""

    def __init__(self, n_heads: int, sizes: Sequence[int]) -> None:
        """Make them; `sizes` are the lengths of the input, the hidden layers and the output."""
        super().__init__()
        layers = [HeadLinear(n_heads, i, o, bias=True) for i, o in pairwise(sizes)]
        self.first, self.rest = layers[0], nn.ModuleList(layers[1:])

    def finish(self, first_output: Tensor) -> Tensor:
        """What follows the first layers, [M, H * width] -> [M, H, out]."""
        x = first_output.view(len(first_output), *self.first.weight.shape[:2]).transpose(0, 1)
        for layer in self.rest:
            weight, bias = layer.parameters()
            x = torch.baddbmm(bias.unsqueeze(1), F.relu(x), weight.mT)
        return x.transpose(0, 1)


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with ReLU between them and none after the last."""
    layers = [layer for i, o in pairwise(sizes) for layer in (Linear(i, o), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def fused_linear(x: Tensor, *layers: nn.Linear | HeadLinear | Affine) -> tuple[Tensor, ...]:
    """Outputs [M, H * out] of several layers that read the same x [M, in], by one matrix product.

    Concatenating the weights costs next to nothing compared to M rows of arithmetic. The outputs
    are cut by `split`, whose gradient is one concatenation; slices would each zero-fill the whole.
    """
    biases = [
        layer.weight.new_zeros(layer.weight.shape[:-1]) if layer.bias is None else layer.bias
        for layer in layers
    ]
    weight = torch.cat([layer.weight.flatten(0, -2) for layer in layers])
    bias = torch.cat([bias.flatten() for bias in biases])
    return torch.split(linear(x, weight, bias), [bias.numel() for bias in biases], dim=-1)
