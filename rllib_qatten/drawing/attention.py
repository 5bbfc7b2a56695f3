"""A game's weights as a figure for papers, modeled on figure 4 of the Qatten paper."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator

from rllib_qatten.drawing.palette import LIGHT
from rllib_qatten.drawing.style import HEAT, looks, marks
from rllib_qatten.drawing.video import frames
from rllib_qatten.evaluation.mixer_weights import WeighedGame

#: Characters of a title per inch.
LETTERS = 14
#: Panels in one row.
ACROSS = 4


def draw(game: WeighedGame) -> Figure:
    """The battle; below it, with time running down: attention, effective weights, health, lines."""
    weights = game.weights
    heads = [] if weights.attention is None else list(np.moveaxis(weights.attention, 1, 0))
    panels: list[Any] = [(_heat_map, f"attention of head {h}", x) for h, x in enumerate(heads)]
    effective = r"effective weight $\partial Q_{tot} / \partial Q_i$"
    panels.append((_heat_map, effective, weights.effective_weights))
    if game.vitality:
        panels.append((_unit_heat_map, *game.vitality))
    if weights.head_weights is not None:
        panels.append((_lines, "head weights", weights.head_weights))
        panels.append((_entropies, "entropy of attention (nats)", weights.entropies))
    across = min(ACROSS, len(panels))
    rows = math.ceil(len(panels) / across)
    width = max(2.4, 0.8 + 0.17 * game.spec.n_agents)
    height = max(2.9, min(5.0, 1.2 + 0.05 * len(game.episode)))
    size = across * width, rows * height + 0.4
    if game.battle is None or across < ACROSS:
        figure = Figure(size, layout="constrained")
        grid = figure.subplots(rows, across, squeeze=False)
    else:
        images = list(frames(game.battle, game.episode, LIGHT))
        w, h = images[0].size
        top = size[0] / 2 * h / w
        figure = Figure((size[0], size[1] + top), layout="constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=(top, size[1]))
        above, below = parts
        for axes, share in zip(above.subplots(1, 2), (1 / 3, 2 / 3), strict=True):
            axes.imshow(images[round(share * len(game.episode))])
            axes.set_axis_off()
        grid = below.subplots(rows, across, squeeze=False)
    for axes, (kind, name, values) in zip(grid.flat, panels, strict=False):
        kind(axes, values, game)
        axes.set_title(name, fontsize=9, parse_math=name == effective)
        axes.set_ylim(len(game.episode) - 0.5, -0.5)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(labelsize=7)
    for axes in grid[:, 0]:
        axes.set_ylabel("step", fontsize=8)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    # Not matplotlib's wrapping, which takes text between dollar signs for formulas.
    title = textwrap.fill(game.title, max(20, round(LETTERS * size[0])))
    figure.suptitle(title, fontsize=9, parse_math=False)
    return figure


def _heat_map(axes: Any, values: np.ndarray, game: WeighedGame, **limits: float) -> None:
    """[T, N], with its own color bar, since heads differ in range."""
    axes.grid(False)
    image = axes.imshow(values, cmap=HEAT, aspect="auto", interpolation="nearest", **limits)
    axes.figure.colorbar(image, ax=axes, pad=0.02).ax.tick_params(labelsize=6)
    axes.set_xticks(range(game.spec.n_agents), game.labels, rotation=90, parse_math=False)
    alive = game.episode.alive[:-1]
    rim = [Stroke(linewidth=2.2, foreground="black"), Normal()]  # visible on yellow, too
    for agent in np.flatnonzero(~alive.all(0)).tolist():
        died = int(alive[:, agent].argmin())
        axes.plot([agent, agent], [died, len(alive) - 0.5], "w:", linewidth=0.8)
        axes.plot(agent, died, "wx", markersize=5, markeredgewidth=1.4, path_effects=rim)


def _unit_heat_map(axes: Any, values: np.ndarray, game: WeighedGame) -> None:
    """[T, N], always from 0 to 1."""
    _heat_map(axes, values, game, vmin=0, vmax=1)


def _lines(axes: Any, values: np.ndarray, game: WeighedGame) -> None:
    """[T, H], one line per head."""
    steps = np.arange(len(values))
    heads = [f"head {h}" for h in range(values.shape[1])]
    for (head, look), line in zip(looks(heads).items(), values.T, strict=True):
        axes.plot(
            line, steps, label=head, color=look.color, linewidth=1.2,
            marker=look.marker, markersize=3, markevery=marks(len(steps)),
        )  # fmt: skip
    axes.legend(fontsize=6)


def _entropies(axes: Any, values: np.ndarray, game: WeighedGame) -> None:
    """[T, H], with the entropy of uniform attention for comparison."""
    even = math.log(game.spec.n_agents)
    axes.axvline(
        even, color="gray", linestyle="--", linewidth=0.8, label=f"uniform, ln {game.spec.n_agents}"
    )
    _lines(axes, values, game)
