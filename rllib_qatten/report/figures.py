"""The figures of a report; each function draws one and returns it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

from rllib_qatten.drawing.palette import INK
from rllib_qatten.drawing.style import Look, marks
from rllib_qatten.report.improvement import Improvement
from rllib_qatten.report.run import Run
from rllib_qatten.report.scores import SCORES
from rllib_qatten.report.statistics import Curve
from rllib_qatten.report.timing import PARTS, TimeSplit

STEPS = "environment steps"


def learning_curves(
    title: str,
    score: str,
    runs: dict[str, list[Run]],
    estimates: dict[str, Curve | None],
    looks: dict[str, Look],
) -> Figure:
    """Every run as a thin line, and the aggregate of each algorithm's runs with its interval."""
    figure, axes = plt.subplots()
    for label, of_label in runs.items():
        look, estimate = looks[label], estimates[label]
        for run in of_label:
            # A single run is its own aggregate.
            if len(of_label) > 1 or estimate is None:
                axes.plot(run.steps, run.scores[score], color=look.color, alpha=0.35, linewidth=0.8)
        if estimate:
            _line(axes, label, estimate, look)
    _steps(axes)
    known = {run.games for of_label in runs.values() for run in of_label} == {"greedy"}
    axes.set(title=title, ylabel=f"greedy {SCORES[score].title}" if known else SCORES[score].title)
    if score == "win_rate":
        _percents(axes)
    return _with_legend(figure, axes)


def sample_efficiency(ylabel: str, estimates: dict[str, Curve], looks: dict[str, Look]) -> Figure:
    """Normalized scores over all compared tasks, by steps."""
    figure, axes = plt.subplots()
    for label, estimate in estimates.items():
        _line(axes, label, estimate, looks[label])
    _steps(axes)
    _percents(axes)
    axes.set(title="Sample efficiency", ylabel=ylabel)
    return _with_legend(figure, axes)


def performance_profiles(estimates: dict[str, Curve], looks: dict[str, Look]) -> Figure:
    """The share of runs that ended above each score."""
    figure, axes = plt.subplots()
    for label, estimate in estimates.items():
        _line(axes, label, estimate, looks[label], drawstyle="steps-post")
    _percents(axes)
    axes.set(
        title="Performance profile",
        xlabel="normalized final score \N{GREEK SMALL LETTER TAU}",
        ylabel="share of runs above \N{GREEK SMALL LETTER TAU}",
    )
    return _with_legend(figure, axes)


def improvement(estimates: dict[tuple[str, str], Improvement]) -> Figure:
    """A table of P(row > column), shaded, with p-values."""
    labels = list(dict.fromkeys(x for x, _ in estimates))
    n = len(labels)
    table = np.full((n, n), np.nan)
    for (x, y), estimate in estimates.items():
        table[labels.index(x), labels.index(y)] = estimate.probability
    figure, axes = plt.subplots(figsize=(max(4.2, 2.2 + 0.72 * n), max(2.4, 1.6 + 0.5 * n)))
    # Everybody can tell purple from orange; without their darkest shades, black text is legible.
    axes.imshow(table, cmap="PuOr_r", vmin=-0.5, vmax=1.5, aspect="auto")
    for (x, y), estimate in estimates.items():
        text = f"{estimate.probability:.2f}\np {estimate.p:.2g}"
        # On the shade, whatever the theme.
        axes.text(
            labels.index(y), labels.index(x), text, ha="center", va="center", size=8, color="black"
        )
    axes.set_xticks(range(n), labels, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), labels)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set(title="P(row ends above column)")
    return figure


def throughput(
    values: dict[str, list[tuple[float, bool | None]]], looks: dict[str, Look]
) -> Figure:
    """A bar for each algorithm: env steps per second; a dot for each run.

    Args:
        values: Algorithm -> of each run its speed, and whether it ran alone.
        looks: Algorithm -> how it is drawn.
    """
    figure, axes = plt.subplots(figsize=(5.2, 1.3 + 0.32 * len(values)))
    for row, (label, runs) in enumerate(values.items()):
        alone = [speed for speed, known in runs if known]
        shown = alone or [speed for speed, _ in runs]
        axes.barh(
            row, np.mean(shown), color=looks[label].color, alpha=0.75, height=0.6,
            hatch="" if alone else "//", edgecolor="white", linewidth=0,
        )  # fmt: skip
        for speed, known in runs:
            axes.plot(speed, row, "o", color=INK, mfc=INK if known else "none", markersize=4)
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set(title="Throughput", xlabel="environment steps per second")
    return figure


def time_split(splits: dict[str, TimeSplit]) -> Figure:
    """A bar for each algorithm: the shares of its time."""
    figure, axes = plt.subplots(figsize=(5.2, 1.8 + 0.32 * len(splits)))
    left = np.zeros(len(splits))
    for part, (color, hatch) in PARTS.items():
        shares = np.array([split[part] for split in splits.values()])
        axes.barh(
            range(len(splits)), shares, left=left, height=0.6, label=part, color=color,
            hatch=hatch, edgecolor="white", linewidth=0,
        )  # fmt: skip
        left += shares
    axes.set_yticks(range(len(splits)), list(splits))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set(title="Where the time goes", xlabel="share of the time")
    return _with_legend(figure, axes)


def _line(axes: Axes, label: str, estimate: Curve, look: Look, drawstyle: str = "default") -> None:
    every = marks(len(estimate.x))
    axes.plot(
        estimate.x, estimate.center, label=label, markevery=every, drawstyle=drawstyle,
        **look._asdict(),
    )  # fmt: skip
    if np.isfinite(estimate.low).any():  # gaps where there is no interval
        axes.fill_between(
            estimate.x, estimate.low, estimate.high, color=look.color, alpha=0.15, linewidth=0,
            step="post" if drawstyle == "steps-post" else None,
        )  # fmt: skip


def _steps(axes: Axes) -> None:
    axes.set_xlim(left=0)
    axes.set_xlabel(STEPS)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _percents(axes: Axes) -> None:
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def _with_legend(figure: Figure, axes: Axes) -> Figure:
    """Adds a legend below the axes, where it hides no line."""
    handles, labels = axes.get_legend_handles_labels()
    columns = max(1, min(4, 72 // (7 + max(map(len, labels), default=1))))
    rows = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + 0.22 * rows)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9)
    return figure
