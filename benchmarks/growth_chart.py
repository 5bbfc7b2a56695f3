"""The picture of what growth costs: `python -m benchmarks.growth_chart ROWS.json growth.svg`.

ROWS.json is what `python -m benchmarks growth --json ROWS.json` wrote.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import typer
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, NullFormatter

from rllib_qatten.drawing import style

#: "sampler, 64 games of SMAX 3s5z" -> what works, how many, of what, and which.
NAME = re.compile(r"(?P<work>\w+), (?P<many>\d+) (?P<what>env runners|\w+)(?: of (?P<which>.+))?")
#: What grows -> the title of its panel.
PANELS = {
    "agents": "agents",
    "games": "games at once",
    "steps": "steps per game",
    "env runners": "env runners",
}


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """Draws a panel for each thing that grows, with the range of its turns.

    Args:
        rows: Of the part `growth`, as `Row.as_dict` gives them.
        file: SVG, PNG or PDF.
    """
    lines: dict[str, dict[str, list[tuple[float, dict[str, float]]]]] = {}
    for row in rows:
        if row["value"] and (found := NAME.match(row["name"])):
            label = " of ".join(filter(None, [found["work"], found["which"]]))
            of_panel = lines.setdefault(found["what"], {})
            of_panel.setdefault(label, []).append((float(found["many"]), row["value"]))
    looks = style.looks(list(dict.fromkeys(label for of in lines.values() for label in of)))
    style.use_style()
    shown = [what for what in PANELS if what in lines]
    size = (2.2 * len(shown), 3.2)
    figure, axes = plt.subplots(1, len(shown), figsize=size, squeeze=False, sharey=True)
    for axis, what in zip(axes[0], shown, strict=True):
        for label, points in lines[what].items():
            _line(axis, points, label, looks[label])
        axis.set(title=PANELS[what], xscale="log", yscale="log")
        axis.set_xticks(sorted({many for points in lines[what].values() for many, _ in points}))
        for each in (axis.xaxis, axis.yaxis):
            each.set_major_formatter(EngFormatter(sep=""))
            each.set_minor_formatter(NullFormatter())
    # A line of each kind, whichever panel it is in.
    drawn = {line.get_label(): line for axis in axes[0] for line in axis.get_lines()}
    figure.legend(drawn.values(), drawn, loc="outside lower center", ncols=len(drawn))
    axes[0][0].set_ylabel("env steps per second")
    style.save(figure, file)
    plt.close(figure)


def _line(
    axis: Axes, points: list[tuple[float, dict[str, float]]], label: str, look: style.Look
) -> None:
    x, spreads = zip(*points, strict=True)
    axis.plot(x, [s["median"] for s in spreads], label=label, **look._asdict())
    low, high = ([s[end] for s in spreads] for end in ("low", "high"))
    axis.fill_between(x, low, high, color=look.color, alpha=0.2, linewidth=0)


def main(
    rows: Annotated[Path, typer.Argument(help="What --json wrote.")],
    file: Annotated[Path, typer.Argument(help="The picture: SVG, PNG or PDF.")],
) -> None:
    """Draws the growth of speeds."""
    draw([row for row in json.loads(rows.read_text())["rows"] if row["part"] == "growth"], file)


if __name__ == "__main__":
    typer.run(main)
