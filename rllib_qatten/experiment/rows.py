"""The table of a training run: which columns there are, and which of them a screen has room for."""

from __future__ import annotations

import itertools
import json
import math
import numbers
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from rllib_qatten import keys

Result = dict[str, Any]

#: Of this package's own numbers, added to a result for its row.
STEPS_PER_SECOND, TIME_LEFT, LOST = "steps_per_second", "time_left_s", "games_lost"


class Column(NamedTuple):
    """A column.

    Attributes:
        group: The title above, shared by neighbors: exploring games, evaluations.
        title: Its own title.
        key: Key of the result.
        form: Makes the cell's text.
        width: Its characters, with the space before it.
        rank: The order in which columns get their place: 0 first.
    """

    group: str
    title: str
    key: str
    form: Callable[[Any], str]
    width: int
    rank: int


def clock(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


_share, _number, _count = "{:.1%}".format, "{:.2f}".format, "{:,.0f}".format
EXPLORING, EVALUATION = "exploring", "evaluation"
COLUMNS = (
    Column("", "env steps", keys.STEPS, _count, 11, 0),
    Column("", "steps/s", STEPS_PER_SECOND, _count, 8, 3),
    Column(EXPLORING, "won", keys.WINS, _share, 8, 2),
    Column(EXPLORING, "return", keys.RETURN, _number, 8, 2),
    Column(EXPLORING, "length", f"{keys.ENV_RUNNERS}/{keys.EPISODE_LEN_MEAN}", _number, 8, 8),
    Column(EVALUATION, "won", keys.GREEDY_WINS, _share, 8, 0),
    Column(EVALUATION, "return", keys.GREEDY_RETURN, _number, 8, 1),
    Column("", "loss", f"{keys.LEARNER}/{keys.LOSS}", "{:.3g}".format, 8, 5),
    Column("", "epsilon", f"{keys.ENV_RUNNERS}/{keys.EPSILON}", "{:.3f}".format, 8, 6),
    Column("", "left", TIME_LEFT, clock, 8, 2),
    Column("", "elapsed", "time_total_s", clock, 9, 4),
    # What wide screens have room for.
    Column("", "|TD error|", f"{keys.LEARNER}/{keys.TD_ERROR_ABS}", "{:.3g}".format, 11, 9),
    Column("", "Q_tot", f"{keys.LEARNER}/{keys.Q_TOT_MEAN}", "{:.3g}".format, 8, 9),
    Column("", "grad norm", f"{keys.LEARNER}/{keys.GRAD_NORM}", "{:.3g}".format, 11, 10),
    Column("", "updates", keys.NUM_UPDATES, _count, 10, 8),
    Column("", "replay", keys.REPLAY_EPISODES, _count, 8, 10),
)
#: Once games were lost to faults of engines or envs.
DROPPED = Column("", "dropped", LOST, _count, 9, 0)
#: In a file: what fits a screen of this many columns, and the trial's label.
FILE_WIDTH = 80
#: Characters of a trial's label: at least, and at most.
LABEL = (14, 40)


def chosen(columns: list[Column], width: int) -> list[Column]:
    """The most important columns that fit, in their own order."""
    kept: list[Column] = []
    for column in sorted(columns, key=lambda c: c.rank):
        if sum(c.width for c in kept) + column.width > width:
            break
        kept.append(column)
    return [column for column in columns if column in kept]


class Rows:
    """The text of a table: header lines, and a line per result.

    Args:
        several: Whether each line begins with its trial.
        width: Of the screen; None for a file.
    """

    def __init__(self, several: bool, width: int | None) -> None:
        """See class."""
        room = (width or FILE_WIDTH) - 1  # some terminals wrap a full line
        self._label = 0
        if several:
            least, most = LABEL
            self._label = max(least, min(most, room - 62)) if width else most
        self._room = room - self._label if width else room
        self.columns: list[Column] = []

    def arrange(self, flat: Result, dropped: bool) -> bool:
        """Chooses the columns for a result; returns whether they changed."""
        # Only battles have win rates.
        battle = keys.WINS in flat
        columns = [c for c in COLUMNS if battle or c.key not in (keys.WINS, keys.GREEDY_WINS)]
        columns = chosen(columns + ([DROPPED] if dropped else []), self._room)
        changed = columns != self.columns
        self.columns = columns
        return changed

    def header(self, evaluated: str) -> Iterator[str]:
        """Two lines: the groups, and the titles.

        Args:
            evaluated: What evaluations are called, "greedy" or "evaluation".
        """
        groups = ""
        for of_columns, members in itertools.groupby(self.columns, key=lambda c: c.group):
            group = evaluated if of_columns == EVALUATION else of_columns
            width = sum(column.width for column in members)
            shown = group if len(group) < width else f"{group[: width - 2]}."
            groups += f" {shown:{'─' if group else ' '}^{width - 1}}"
        titles = "".join(column.title.rjust(column.width) for column in self.columns)
        yield (" " * self._label + groups).rstrip()
        yield "trial".ljust(self._label)[: self._label] + titles

    def row(self, label: str, flat: Result) -> str:
        """A result's line."""
        shown = label if len(label) < self._label else label[: max(0, self._label - 2)] + "…"
        return shown.ljust(self._label)[: self._label] + "".join(
            cell(column, flat).rjust(column.width) for column in self.columns
        )


def cell(column: Column, flat: Result) -> str:
    """A number as its column prints it; "-" if there is none."""
    value = flat.get(column.key)
    return column.form(value) if is_number(value) else "-"


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, numbers.Real) and math.isfinite(value)  # NumPy's too


def as_json(experiment: str, label: str, trial_id: str, flat: Result) -> str:
    """A result as one line of JSON: every promised key that it has."""
    own = (*keys.KEYS, STEPS_PER_SECOND, TIME_LEFT)
    shown = {key: flat[key] if is_number(flat[key]) or isinstance(flat[key], str) else None
               for key in own if key in flat}  # fmt: skip
    about = {"experiment": experiment, "trial": label, "trial_id": trial_id}
    return json.dumps(about | shown, default=float)
