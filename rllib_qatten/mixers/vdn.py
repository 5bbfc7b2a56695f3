"""VDN: the plain sum."""

from typing import ClassVar

from torch import Tensor

from rllib_qatten.mixers.base import Mixed, Mixer


class VDN(Mixer):
    """`Q_tot = sum_i Q_i` (Sunehag et al. 2018, Value-Decomposition Networks). No parameters."""

    uses_state: ClassVar[bool] = False

    def mix(
        self,
        utilities: Tensor,
        state: Tensor,
        unit_features: Tensor | None,
        alive: Tensor | None,
        mask: Tensor | None,
    ) -> Mixed:
        """[M, N] -> [M]."""
        return Mixed(utilities.sum(-1))
