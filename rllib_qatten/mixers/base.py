"""What every mixer shares: the entry point, which checks shapes.

Letters: N agents, S state length, U unit-feature length, A actions, H heads, E embedding length.
`*B` stands for any leading axes, none and empty ones included; inside a mixer they are one axis of
M rows.
"""

import math
from abc import ABC, abstractmethod
from numbers import Integral
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from rllib_qatten.mixers.mixed import Mixed, check_mixed


class Rows(NamedTuple):
    """M checked rows of the inputs of `Mixer.forward`, with the same meanings."""

    utilities: Tensor
    """[M, N]."""
    state: Tensor
    """[M, S]."""
    unit_features: Tensor | None
    """[M, N, U]; not None if `uses_unit_features`."""
    alive: Tensor | None
    """[M, N] bool."""
    mask: Tensor | None
    """[M] bool."""
    actions: Tensor | None
    """[M, N] int64; not None if `uses_actions`."""
    best_utilities: Tensor | None
    """[M, N]; not None if `uses_actions`."""


class Mixer(nn.Module, ABC):
    """Turns N utilities and a state into one Q_tot. A subclass implements only `mix`.

    Every mixer is built as `MIXERS[name](n_agents, state_dim, unit_dim, **options)`, with
    `n_actions=A` as well if it `uses_actions`; one that does not use the state or the unit
    features ignores their lengths.
    """

    uses_state: ClassVar[bool] = True
    """Whether Q_tot depends on the state; otherwise its length is not checked."""
    uses_unit_features: bool = False
    """Whether `unit_features` must be given; otherwise they are ignored. Options may decide it."""
    uses_actions: ClassVar[bool] = False
    """Whether `actions` and `best_utilities` must be given; otherwise they are ignored."""
    n_heads: int = 0
    """Heads H of its attention, if it has any. Options may decide it."""

    def __init__(
        self, n_agents: int, state_dim: int = 0, unit_dim: int = 0, n_actions: int = 0
    ) -> None:
        """Remember the sizes N, S, U and A.

        Raises:
            ValueError: a size that this mixer uses is not a positive integer.
        """
        super().__init__()
        self.n_agents = at_least("n_agents", n_agents, 1)
        self.state_dim = at_least("state_dim", state_dim, int(self.uses_state))
        self.unit_dim = at_least("unit_dim", unit_dim, int(self.uses_unit_features))
        self.n_actions = at_least("n_actions", n_actions, int(self.uses_actions))

    @property
    def claims_igm(self) -> bool:
        """Whether the agents' own greedy actions always form the best joint action (IGM)."""
        return True

    def forward(
        self,
        utilities: Tensor,
        state: Tensor,
        *,
        unit_features: Tensor | None = None,
        alive: Tensor | None = None,
        mask: Tensor | None = None,
        actions: Tensor | None = None,
        best_utilities: Tensor | None = None,
    ) -> Mixed:
        """Check every shape once, mix, and check the result.

        Args:
            utilities: [*B, N] value Q_i of each agent's action.
            state: [*B, S] global state.
            unit_features: [*B, N, U] each agent's own features, for mixers that use them.
            alive: [*B, N] bool, which agents still act; None means all.
            mask: [*B] bool, which rows are real and not padding; None means all. It only affects
                means over rows (the regularizer); q_tot is computed for every row.
            actions: [*B, N] int64, the actions whose values `utilities` are, for mixers that use
                them.
            best_utilities: [*B, N] the greatest utility among each agent's legal actions, from the
                same network as `utilities`, for mixers that use them.

        Returns:
            `Mixed` with the leading axes *B. Under `torch.no_grad` its regularizer is zero.

        Raises:
            ValueError: a shape or dtype is not as above, or a tensor this mixer needs is missing;
                or `mix` returned something else, or a q_tot that the utilities have no part in.
        """
        batch, n = utilities.shape[:-1], self.n_agents
        wanted_state = self.state_dim if self.uses_state else state.shape[-1:].numel()
        check_input(self, "utilities", utilities, (*batch, n), "[*B, N]")
        check_input(self, "state", state, (*batch, wanted_state), "[*B, S]")
        if not self.uses_unit_features:
            unit_features = None
        elif unit_features is None:
            raise ValueError(
                f"{type(self).__name__} expected unit_features [*B, N, U], got None: pass each "
                "agent's own part of the state, its own observation or its one-hot id"
            )
        else:
            shape = (*batch, n, self.unit_dim)
            check_input(self, "unit_features", unit_features, shape, "[*B, N, U]")
        if not self.uses_actions:
            actions = best_utilities = None
        elif actions is None or best_utilities is None:
            missing = "actions" if actions is None else "best_utilities"
            raise ValueError(
                f"{type(self).__name__} expected {missing} [*B, N], got None: pass each agent's "
                "action and the greatest utility among its legal actions"
            )
        else:
            check_input(self, "actions", actions, (*batch, n), "[*B, N]", torch.int64)
            check_input(self, "best_utilities", best_utilities, (*batch, n), "[*B, N]")
        if alive is not None:
            check_input(self, "alive", alive, (*batch, n), "[*B, N]", torch.bool)
        if mask is not None:
            check_input(self, "mask", mask, tuple(batch), "[*B]", torch.bool)
        optional = unit_features, alive, mask, actions, best_utilities
        if len(batch) == 1:
            return self._mixed(Rows(utilities, state, *optional))

        def rows(x: Tensor) -> Tensor:
            return x.reshape(math.prod(batch), *x.shape[len(batch) :])

        flat = (None if x is None else rows(x) for x in optional)
        return self._mixed(Rows(rows(utilities), rows(state), *flat)).unflatten(batch)

    def _mixed(self, rows: Rows) -> Mixed:
        mixed = self.mix(rows)
        check_mixed(type(self).__name__, mixed, rows.utilities)
        return mixed

    @abstractmethod
    def mix(self, rows: Rows) -> Mixed:
        """Mix M checked rows."""


SIZES = "n_agents", "state_dim", "unit_dim", "n_actions", "hidden_size"


def check_input(
    owner: nn.Module,
    name: str,
    x: Tensor,
    shape: tuple[int, ...],
    letters: str,
    dtype: torch.dtype | None = None,
    leader: str = "utilities",
) -> None:
    """Raise a readable ValueError unless `x` has this shape and, if one is given, this dtype.

    Args:
        owner: Whose input it is; its sizes go into the message.
        name: The input's name.
        x: The input.
        shape: The expected shape.
        letters: The same in letters.
        dtype: The expected dtype; None accepts any.
        leader: The input whose leading axes the others must have.
    """
    if x.shape != shape:
        known = {size: getattr(owner, size, 0) for size in SIZES}
        sizes = ", ".join(f"{size}={value}" for size, value in known.items() if value)
        raise ValueError(
            f"{type(owner).__name__} expected {name} {letters} = {list(shape)}, got "
            f"{list(x.shape)}: give it the leading axes of {leader} and the sizes it was built "
            f"with, {sizes}"
        )
    if dtype is not None and x.dtype != dtype:
        way = f"{name} > 0" if dtype == torch.bool else f"{name}.to({dtype})"
        raise ValueError(
            f"{type(owner).__name__} expected {name} of {dtype}, got {x.dtype}: convert it, "
            f"for instance {way}"
        )


def attention_entropy(attention: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean entropy -sum_i p_i log(p_i + 1e-8) of each head, over rows where `mask` is True.

    Args:
        attention: [*B, H, N].
        mask: [*B] bool, or None for all rows.

    Returns:
        [H] in nats, between 0 and log N; zero if there is no row.
    """
    entropy = -(attention * (attention + 1e-8).log()).sum(-1).reshape(-1, attention.shape[-2])
    if mask is not None:
        entropy = entropy[mask.flatten()]
    return entropy.sum(0) / max(len(entropy), 1)


def at_least(name: str, value: int, low: int) -> int:
    """Return `value` if it is an integer not below `low`, else raise a ValueError that says so."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name} must be an integer >= {low}, got {value!r}")
    return int(value)


def one_or_two_layers(hypernet_layers: int) -> int:
    """Return `hypernet_layers` if it is 1 or 2, else raise a ValueError that says so."""
    if hypernet_layers not in (1, 2):
        raise ValueError(f"hypernet_layers must be 1 or 2, got {hypernet_layers!r}")
    return hypernet_layers
