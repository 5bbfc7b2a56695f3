"""What a user's learner connectors leave of the packed batch is checked before it is learned from.

Compiled functions take rows, types and places on trust: they would read and write beyond an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from torch import Tensor

from rllib_qatten import columns
from rllib_qatten.errors import BadInput

#: Column -> axes, in the letters of `training.batch`, and type.
PACKED = {
    columns.BATCH_SIZES: ("T", torch.int64),
    Columns.OBS: ("PNO", torch.float32),
    columns.STATE: ("PS", torch.float32),
    columns.LEGAL_ACTIONS: ("PNA", torch.bool),
    columns.ALIVE: ("PN", torch.bool),
    columns.LAST_ACTIONS: ("PN", torch.int64),
    columns.NOW: ("M", torch.int64),
    Columns.ACTIONS: ("MN", torch.int64),
    Columns.REWARDS: ("M", torch.float32),
    Columns.TERMINATEDS: ("M", torch.bool),
    columns.MASK: ("M", torch.bool),
    columns.WEIGHTS: ("M", torch.float32),
}


class CheckBatch(ConnectorV2):
    """Learner connector: the packed batch as it came, or an error.

    Columns that it does not know are left alone: a loss of one's own may read them.

    Args:
        after: Names of the connectors before it.
    """

    def __init__(self, *args: Any, after: list[str], **kwargs: Any) -> None:
        """See class."""
        super().__init__(*args, **kwargs)
        self._who = f"learner_connector ({', '.join(after)})"

    def __call__(self, *, rl_module: Any, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Checks names, shapes and types; arrays become tensors, and float types float32.

        Raises:
            BadInput: For the first column that is not as `rllib_qatten.training.batch.pack` says.
        """
        packed = batch.get(DEFAULT_MODULE_ID)
        missing = [name for name in PACKED if not isinstance(packed, dict) or name not in packed]
        if not isinstance(packed, dict) or missing:
            raise BadInput(
                f"{self._who} returned a batch without {', '.join(missing)}: change the columns of "
                f"batch['{DEFAULT_MODULE_ID}'], keep the others, and return batch."
            )
        module = rl_module[DEFAULT_MODULE_ID]
        device, spec = next(module.parameters()).device, module.unwrapped().spec
        sizes = {"N": spec.n_agents, "A": spec.n_actions}
        sizes |= {"O": spec.observation_size, "S": spec.state_size}
        for name in PACKED:
            here = torch.device("cpu") if name == columns.BATCH_SIZES else device
            packed[name] = self._checked(name, packed[name], sizes).to(here)
            if name == columns.BATCH_SIZES:
                sizes |= self._rows(packed[name].tolist())
        if device.type == "cpu":  # a GPU looks at places itself, and would have to be waited for
            self._check_range(columns.NOW, packed[columns.NOW], sizes["P"])
            self._check_range(Columns.ACTIONS, packed[Columns.ACTIONS], sizes["A"])
        return batch

    def _checked(self, name: str, column: Any, sizes: dict[str, int]) -> Tensor:
        """A column as a tensor of its shape and type."""
        axes, dtype = PACKED[name]
        column = torch.as_tensor(column) if isinstance(column, np.ndarray) else column
        expected = [sizes.get(axis, axis) for axis in axes]
        if isinstance(column, Tensor):
            if column.is_floating_point() and dtype.is_floating_point:
                column = column.to(dtype)
            rows = column.dim() == 1 if axes == "T" else list(column.shape) == expected
            if rows and column.dtype == dtype:
                return column
            got = f"{list(column.shape)} of {column.dtype}"
        else:
            got = f"a {type(column).__name__}"
        letters, numbers = (f"[{', '.join(map(str, x))}]" for x in (axes, expected))
        way = f"{name} > 0" if dtype == torch.bool else f"{name}.to({dtype})"
        raise BadInput(
            f"{self._who} made {name} {got}; expected {letters} = {numbers} of {dtype}: keep every "
            f"row, in its order, and convert types, for instance {way}."
        )

    def _rows(self, episodes: list[int]) -> dict[str, int]:
        """P and M, by how many episodes have an entry at each step."""
        if len(episodes) < 2 or episodes[-1] < 1 or sorted(episodes, reverse=True) != episodes:
            raise BadInput(
                f"{self._who} made {columns.BATCH_SIZES} {episodes}; expected how many episodes "
                "have an entry at each step, longest episode first, so never more than before."
            )
        return {"P": sum(episodes), "M": sum(episodes[1:])}

    def _check_range(self, name: str, column: Tensor, end: int) -> None:
        low, high = (int(x) for x in column.aminmax())
        if low < 0 or high >= end:
            raise BadInput(
                f"{self._who} made {name} numbers from {low} to {high}; expected 0 to {end - 1}."
            )
