"""One look for every figure, in the colors of `palette`."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, NamedTuple

import matplotlib
import matplotlib.style
from cycler import cycler
from matplotlib.figure import Figure

from rllib_qatten.drawing.palette import COLORS, INK

#: Color map of heat maps: perceptually uniform and safe for color-blind readers.
HEAT = "cividis"
#: At most this many markers on a line.
MARKS = 10
#: Format -> what its files would say of themselves.
UNSAID: dict[str, tuple[str, ...]] = {
    ".png": (), ".svg": ("Date", "Creator", "Format", "Type"), ".pdf": ("CreationDate",),
}  # fmt: skip
_LINES = ("-", "--", ":", "-.")
_MARKERS = "osD^vPX<>*"


class Look(NamedTuple):
    """How one line of a figure is drawn."""

    color: str
    linestyle: str
    marker: str


def looks(names: list[str]) -> dict[str, Look]:
    """A look for each name: neighbors differ in color and marker, all in at least one of three."""
    return {
        name: Look(
            COLORS[i % len(COLORS)],
            _LINES[i // len(COLORS) % len(_LINES)],
            _MARKERS[i % len(_MARKERS)],
        )
        for i, name in enumerate(names)
    }


def marks(points: int) -> int:
    """The number of points per marker on a line, so that markers do not crowd."""
    return max(1, points // MARKS)


def save(figure: Figure, file: Path | IO[str], ending: str = "", **how: Any) -> None:
    """Writes a figure as PNG, SVG or PDF, without a date: the same figure gives the same file.

    Args:
        figure: The figure.
        file: The file.
        ending: ".png", ".svg" or ".pdf"; by default the file's own.
        how: Further settings of `Figure.savefig`.
    """
    ending = ending or Path(str(file)).suffix
    figure.savefig(file, format=ending[1:], metadata=dict.fromkeys(UNSAID[ending]), **how)


def use_style() -> None:
    """Sets matplotlib's parameters; figures are drawn without a display."""
    matplotlib.use("agg")
    text = {key: INK for key in ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")}
    look: dict[str, Any] = {
        **text,
        "axes.edgecolor": INK,
        "axes.prop_cycle": cycler(color=COLORS),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.grid": True,
        "axes.titlesize": "medium",
        "axes.titleweight": "bold",
        "figure.dpi": 100,
        "figure.figsize": (5.2, 3.6),
        "figure.constrained_layout.use": True,
        "font.size": 10,
        "grid.alpha": 0.25,
        "grid.color": "#808080",
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "lines.markersize": 5,
        "savefig.dpi": 200,
        # Names come from untrusted files: no formulas, and no LaTeX, which runs programs.
        "text.parse_math": False,
        "text.usetex": False,
        # Text stays text, and the same figure gives the same file.
        "svg.fonttype": "none",
        # TrueType: conferences refuse PDFs with fonts of type 3, matplotlib's default.
        "pdf.fonttype": 42,
        "svg.hashsalt": "rllib_qatten",
    }
    matplotlib.style.use(look)
