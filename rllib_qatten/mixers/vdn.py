"""VDN: the plain sum."""

from typing import ClassVar

from rllib_qatten.mixers.base import Mixer, Rows
from rllib_qatten.mixers.mixed import Mixed


class VDNMixer(Mixer):
    """`Q_tot = sum_i Q_i` (Sunehag et al. 2018, Value-Decomposition Networks). No parameters."""

    uses_state: ClassVar[bool] = False

    def mix(self, rows: Rows) -> Mixed:
        """[M, N] -> [M]."""
        return Mixed(rows.utilities.sum(-1))
