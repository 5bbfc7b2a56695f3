"""Do weights go into a network? Asked before they do: torch may take those that do, one by one."""

from typing import Any

import numpy as np

#: How many weights that do not fit are named.
MOST = 3


def weight_faults(given: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """How names and shapes of weights differ from those here: the first, and how many more."""
    faults = [f"{name} is missing from it" for name in here if name not in given]
    faults += [f"{name} is unknown here" for name in given if name not in here]
    for name in here.keys() & given.keys():
        in_it, current = (tuple(np.shape(weights[name])) for weights in (given, here))
        if in_it != current:
            faults.append(f"{name} has shape {in_it} in it and {current} here")
    more = [f"and {len(faults) - MOST} more"] if len(faults) > MOST else []
    return [*sorted(faults)[:MOST], *more]
