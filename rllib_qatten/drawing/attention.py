"""A game's weights as a figure for papers, modeled on figure 4 of the Qatten paper."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator

from rllib_qatten.drawing.battle_frames import BattleFrames
from rllib_qatten.drawing.palette import LIGHT
from rllib_qatten.drawing.style import HEAT, looks, marks
from rllib_qatten.evaluation.mixer_weights import WeighedGame

#: Characters of a title per inch.
LETTERS = 14
#: Panels in one row.
ACROSS = 4
EFFECTIVE = r"effective weight $\partial Q_{tot} / \partial Q_i$"
#: What the colors mean.
SHARED = "All heads have one scale of colors. "
KEY = "Bars: which number a color stands for. White crosses: deaths, dotted from then on."


def draw(game: WeighedGame) -> Figure:
    """The battle; below it, with time running down: attention, effective weights, health, lines."""
    panels = _panels(game)
    across = min(ACROSS, len(panels))
    rows = math.ceil(len(panels) / across)
    width = max(2.4, 0.8 + 0.17 * game.spec.n_agents)
    height = max(2.9, min(5.0, 1.2 + 0.05 * len(game.episode)))
    size = across * width, rows * height + 0.6
    if game.battle is None or across < ACROSS:
        figure = Figure(size, layout="constrained")
        grid = figure.subplots(rows, across, squeeze=False)
        key = ""
    else:
        pen = BattleFrames(game.battle, game.episode, LIGHT)
        images = [pen.draw(round(share * len(game.episode))) for share in (1 / 3, 2 / 3)]
        w, h = images[0].size
        top = size[0] / 2 * h / w
        figure = Figure((size[0], size[1] + top), layout="constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=(top, size[1]))
        above, below = parts
        for axes, image in zip(above.subplots(1, 2), images, strict=True):
            axes.imshow(image)
            axes.set_axis_off()
        grid = below.subplots(rows, across, squeeze=False)
        key = "Battle: the team in blue, its enemies in orange. "
    for axes, (kind, name, values, limits) in zip(grid.flat, panels, strict=False):
        kind(axes, values, game, *limits)
        axes.set_title(name, fontsize=9, parse_math=name == EFFECTIVE)
        axes.set_ylim(len(game.episode) - 0.5, -0.5)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(labelsize=7)
    for axes in grid[:, 0]:
        axes.set_ylabel("step", fontsize=8)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    # Not matplotlib's wrapping, which takes text between dollar signs for formulas.
    letters = max(20, round(LETTERS * size[0]))
    figure.suptitle(textwrap.fill(game.title, letters), fontsize=9, parse_math=False)
    several = game.weights.attention is not None and game.weights.attention.shape[1] > 1
    key += SHARED * several + KEY
    figure.supxlabel(textwrap.fill(key, round(1.6 * letters)), fontsize=7, parse_math=False)
    return figure


def _panels(game: WeighedGame) -> list[tuple[Any, str, Any, tuple[float, ...]]]:
    """What draws each panel, its title, its numbers, and the ends of its colors."""
    weights, attention = game.weights, game.weights.attention
    panels: list[tuple[Any, str, Any, tuple[float, ...]]] = []
    if attention is not None:
        ends = float(attention.min()), float(attention.max())
        for head, values in enumerate(np.moveaxis(attention, 1, 0)):
            panels.append((_heat_map, f"attention of head {head}", values, ends))
    panels.append((_heat_map, EFFECTIVE, weights.effective_weights, ()))
    if game.vitality:
        panels.append((_heat_map, *game.vitality, (0, 1)))
    if weights.head_weights is not None:
        panels.append((_lines, "head weights", weights.head_weights, ()))
        panels.append((_entropies, "entropy of attention (nats)", weights.entropies, ()))
    return panels


def _heat_map(
    axes: Any,
    values: np.ndarray,
    game: WeighedGame,
    low: float | None = None,
    high: float | None = None,
) -> None:
    """[T, N], with a color bar from `low` to `high`, or else over the values' own range."""
    axes.grid(False)
    image = axes.imshow(
        values, cmap=HEAT, aspect="auto", interpolation="nearest", vmin=low, vmax=high
    )
    axes.figure.colorbar(image, ax=axes, pad=0.02).ax.tick_params(labelsize=6)
    axes.set_xticks(range(game.spec.n_agents), game.labels, rotation=90, parse_math=False)
    alive = game.episode.alive[:-1]
    rim = [Stroke(linewidth=2.2, foreground="black"), Normal()]  # visible on yellow, too
    for agent in np.flatnonzero(~alive.all(0)).tolist():
        died = int(alive[:, agent].argmin())
        axes.plot([agent, agent], [died, len(alive) - 0.5], "w:", linewidth=0.8)
        axes.plot(agent, died, "wx", markersize=5, markeredgewidth=1.4, path_effects=rim)


def _lines(axes: Any, values: np.ndarray, game: WeighedGame) -> None:
    """[T, H], one line per head."""
    steps = np.arange(len(values))
    heads = [f"head {h}" for h in range(values.shape[1])]
    for (head, look), line in zip(looks(heads).items(), values.T, strict=True):
        axes.plot(
            line, steps, label=head, color=look.color, linewidth=1.2,
            marker=look.marker, markersize=3, markevery=marks(len(steps)),
        )  # fmt: skip
    # Below the panel, where it hides no line.
    axes.legend(
        fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2, handlelength=3,
        columnspacing=1,
    )  # fmt: skip


def _entropies(axes: Any, values: np.ndarray, game: WeighedGame) -> None:
    """[T, H], from 0, attention to one agent alone, to ln N, the same to all."""
    _lines(axes, values, game)
    n = game.spec.n_agents
    even = math.log(n)
    axes.set_xlim(0, even or 1)
    ticks = {0.0: "0", even / 2: f"{even / 2:.2f}", even: f"ln {n}"}
    axes.set_xticks(list(ticks), list(ticks.values()))
