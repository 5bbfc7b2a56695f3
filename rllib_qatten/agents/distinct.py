"""The different rows of an agent network's inputs: dead agents' are computed once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rllib_qatten.compiled.compiler import kernels


class Distinct(NamedTuple):
    """M rows of inputs as D rows: first those L with an observation, then different ones without.

    Rows with an observation are taken to differ. Compiled functions take the first four fields in
    this order.

    Attributes:
        observations: [L, O].
        last: [L] last actions.
        ids: [L] of agents.
        places: [M] which of the D rows each row is.
        unseen_last: [D - L] the others' last actions.
        unseen_ids: [D - L].
    """

    observations: Any
    last: Any
    ids: Any
    places: Any
    unseen_last: Any
    unseen_ids: Any


def distinct(
    observations: Any, last: Any, n_actions: int, n_agents: int, rows: Any, more: Any = None
) -> Distinct:
    """Finds the different rows, by a compiled function.

    Args:
        observations: [>= M, O] float32.
        last: [>= M] int64 last actions, -1 where there is none.
        n_actions: How many columns of the inputs are one-hot last actions.
        n_agents: How many are ids.
        rows: [M] which of these the M rows are.
        more: [M] whether something is observed besides; by default nothing is.
    """
    m = len(rows)
    sources, places = np.empty((2, m), np.int64)
    more = np.empty(0, bool) if more is None else more
    seen, count = kernels("recurrent").distinct(
        observations, rows, more, last, n_actions, n_agents, sources, places
    )
    sources = sources[:count]
    last, ids = last[sources], sources % max(n_agents, 1)
    return Distinct(
        observations if seen == len(observations) else observations.take(sources[:seen], 0),
        last[:seen],
        ids[:seen],
        places,
        last[seen:],
        ids[seen:],
    )
