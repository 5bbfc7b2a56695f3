"""A battle as pictures: where units stand, their health, whom they attack, who died of what.

All of the map that the battle used is seen, with the map's edge where units came near it; a small
map in the corner shows the whole.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rllib_qatten.drawing.palette import DARK
from rllib_qatten.envs.battles.battle import EDGE, Battle
from rllib_qatten.rollout.episode import TeamEpisode

#: Pixels of a picture, which is drawn `SCALE` times as large, for smooth edges.
WIDTH, MAX_FIELD, MARGIN, SCALE = 640, 480, 40, 2
#: Pixels above the field: a line of text and the teams' health, beside the small map; and below.
HEAD, FOOT, SMALL_MAP = 64, 22, 52
#: The map's edge is in the picture if a unit came this near to it, as a share of the map's width.
NEAR = 0.1
KEY = "Line: attack, thick when a shot falls. Cross: a death"
KEY_OF_EDGE = ", in a box if by the map's edge, which kills units that touch it"

Pen = ImageDraw.ImageDraw
Box = tuple[float, float, float, float]


class BattleFrames:
    """Draws a battle.

    Args:
        battle: Where the units were.
        episode: The game.
        theme: LIGHT or DARK of `palette`.
    """

    def __init__(self, battle: Battle, episode: TeamEpisode, theme: dict[str, str] = DARK) -> None:
        """See class."""
        self._battle, self._theme, self._steps = battle, theme, len(episode)
        self._n = n = episode.actions.shape[1]
        self._alive, self._deaths = battle.alive, battle.deaths
        units = range(len(battle.types))
        self._colors = [theme["ally" if unit < n else "enemy"] for unit in units]
        self._names = [
            kind[:2] + (str(unit) if unit < n else "") for unit, kind in enumerate(battle.types)
        ]
        self._result = "won" if episode.won else "lost" if episode.terminated else "time over"
        self._fit()

    def _fit(self) -> None:
        """Chooses the part of the map that is shown, and its size."""
        fell = [(x, y) for _, _, x, y, _ in self._deaths]
        seen = np.concatenate([self._battle.positions[self._alive], np.reshape(fell, (-1, 2))])
        low, high = seen.min(0), seen.max(0)
        low, high = np.where(low < NEAR, 0, low), np.where(high > 1 - NEAR, 1, high)
        span = np.maximum(high - low, 0.15)
        room = np.array([WIDTH, MAX_FIELD]) - 2 * MARGIN
        self._zoom = float((room / span).min()) * SCALE
        height = 2 * round((span[1] * self._zoom / SCALE + 2 * MARGIN + HEAD + FOOT) / 2)
        #: Of a drawing; halves of it are even, as H.264 requires.
        self._size = WIDTH * SCALE, height * SCALE
        self._middle = (low + high) / 2
        field = self._size[1] - (HEAD + FOOT) * SCALE
        self._center = np.array([self._size[0] / 2, HEAD * SCALE + field / 2])
        self._radii = self._battle.radii * self._zoom

    def draw(self, t: int, share: float = 0.0) -> Image.Image:
        """The picture at a step, twice as large as `small`.

        Args:
            t: 0 to T.
            share: How much of step t has passed; units move evenly in it.
        """
        battle, theme = self._battle, self._theme
        image = Image.new("RGB", self._size, theme["ground"])
        pen = ImageDraw.Draw(image)
        self._edge(pen)
        places = self._pixels(self._positions(t, share))
        living = np.flatnonzero(self._alive[t]).tolist()
        shoots = battle.shoots[t]
        for unit, entry, x, y, cause in self._deaths:
            if entry <= t:
                place, r = self._pixels(np.array([x, y])), self._radii[unit]
                _death(pen, place, r, self._colors[unit], entry == t, cause == EDGE)
        for unit in living:
            circle = _around(places[unit], self._radii[unit])
            rim = theme["shot"] if shoots[unit] else theme["ground"]
            pen.ellipse(circle, self._colors[unit], rim, 2 * SCALE)
        for unit, target in enumerate(battle.targets[t].tolist() if t < self._steps else ()):
            if target >= 0 and self._alive[t, unit] and self._alive[t, target]:
                shot = bool(shoots[unit])
                color = theme["shot"] if shot else self._colors[unit]
                ends = places[unit], places[target]
                _attack(pen, *ends, self._radii[target], color, 3 if shot else 1)
        for unit in living:
            self._name_and_health(pen, places[unit], unit, t)
        self._head(pen, t, share)
        self._small_map(pen, t, share)
        return image

    def small(self, t: int, share: float = 0.0) -> Image.Image:
        """The same in the size of a video, smooth."""
        return self.draw(t, share).reduce(SCALE)

    def _positions(self, t: int, share: float) -> np.ndarray:
        """[V, 2], those of the dead as they are."""
        now = self._battle.positions[t]
        if not share:
            return now
        then = np.where(self._alive[t + 1][:, None], self._battle.positions[t + 1], now)
        for unit, entry, x, y, _ in self._deaths:
            if entry == t + 1:
                then[unit] = x, y
        moved: np.ndarray = now + share * (then - now)
        return moved

    def _pixels(self, places: np.ndarray) -> np.ndarray:
        """[..., 2] of shares of the map; up is up."""
        pixels: np.ndarray = (places - self._middle) * [1, -1] * self._zoom + self._center
        return pixels

    def _edge(self, pen: Pen) -> None:
        """The map's edge, and the outside as another ground; text may cover it."""
        (left, bottom), (right, top) = self._pixels(np.array([[0.0, 0.0], [1.0, 1.0]]))
        field = (0, HEAD * SCALE, self._size[0], self._size[1] - FOOT * SCALE)
        pen.rectangle(field, self._theme["outside"])
        pen.rectangle((left, top, right, bottom), self._theme["ground"])
        color = self._theme["ink"] if self._battle.edge_kills else self._theme["dim"]
        pen.rectangle((left, top, right, bottom), None, color, 2 * SCALE)
        pen.rectangle((0, 0, self._size[0], field[1]), self._theme["ground"])
        pen.rectangle((0, field[3], *self._size), self._theme["ground"])
        key = KEY + KEY_OF_EDGE * self._battle.edge_kills
        place = MARGIN / 4 * SCALE, self._size[1] - FOOT / 2 * SCALE
        pen.text(place, key, self._theme["dim"], _font(11 * SCALE), anchor="lm")

    def _head(self, pen: Pen, t: int, share: float) -> None:
        """Where in the battle this is, and how healthy each side is."""
        theme, pad = self._theme, 8 * SCALE
        seconds = (t + share) * self._battle.step_seconds
        caption = f"step {t} of {self._steps}   {seconds:.1f} s"
        caption += f"   {self._result}" if t == self._steps else ""
        pen.text((pad, 6 * SCALE), caption, theme["ink"], _font(14 * SCALE))
        right = self._size[0] - (SMALL_MAP + 6) * SCALE - pad
        half = (right - pad) / 2
        sides = (("team", "ally", slice(0, self._n)), ("enemies", "enemy", slice(self._n, None)))
        for side, (name, color, units) in enumerate(sides):
            health, alive = self._battle.health[t, units], self._alive[t, units]
            left, top = pad + side * half, 29 * SCALE
            text = f"{name}: {alive.sum()} of {len(alive)} alive, {health.mean():.0%} health"
            pen.text((left, top), text, theme["ink"], _font(12 * SCALE))
            end = left + half - 2 * pad
            bar: Box = (left, top + 17 * SCALE, end, top + 27 * SCALE)
            pen.rectangle(bar, theme["rule"])
            if alive.any():
                full = left + (end - left) * health.mean()
                pen.rectangle((*bar[:2], full, bar[3]), theme[color])

    def _small_map(self, pen: Pen, t: int, share: float) -> None:
        """The whole map in a corner, and which part of it the picture shows."""
        theme, size = self._theme, SMALL_MAP * SCALE
        left, top = self._size[0] - size - 6 * SCALE, 6 * SCALE
        color = theme["ink"] if self._battle.edge_kills else theme["dim"]
        corner = self._size[0] / self._zoom / 2, (self._size[1] / SCALE - HEAD - FOOT) * SCALE
        half = np.array([corner[0], corner[1] / self._zoom / 2])
        low, high = (self._middle - half).clip(0, 1), (self._middle + half).clip(0, 1)
        pen.rectangle((left, top, left + size, top + size), theme["ground"], color, SCALE)
        shown = (left + low[0] * size, top + (1 - high[1]) * size)
        pen.rectangle(
            (*shown, left + high[0] * size, top + (1 - low[1]) * size), None, theme["rule"], SCALE
        )
        for unit in np.flatnonzero(self._alive[t]).tolist():
            x, y = self._positions(t, share)[unit]
            dot = np.array([left + x * size, top + (1 - y) * size])
            pen.ellipse(_around(dot, 1.5 * SCALE), self._colors[unit])

    def _name_and_health(self, pen: Pen, place: np.ndarray, unit: int, t: int) -> None:
        """Letters on a unit, and a bar above it."""
        (x, y), r, theme = place, self._radii[unit], self._theme
        pen.text((x, y), self._names[unit], theme["ground"], _font(0.8 * r), anchor="mm")
        top = y - r - 6 * SCALE
        pen.rectangle((x - r, top, x + r, top + 4 * SCALE), theme["ground"])
        pen.rectangle((x - r, top, x + r, top + 3 * SCALE), theme["rule"])
        left = x - r + 2 * r * self._battle.health[t, unit]
        pen.rectangle((x - r, top, left, top + 3 * SCALE), theme["health"])


@functools.cache
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _around(place: Sequence[float] | np.ndarray, r: float) -> Box:
    x, y = place
    return (x - r, y - r, x + r, y + r)


def _attack(pen: Pen, start: np.ndarray, end: np.ndarray, r: float, color: str, width: int) -> None:
    """A line to a dot on the near rim of the target."""
    apart = max(float(np.linalg.norm(end - start)), 1e-6)
    end = end - (end - start) * min(0.5, r / apart)
    pen.line([tuple(start), tuple(end)], color, width * SCALE)
    pen.ellipse(_around(end, (width + 1) * SCALE), color)


def _death(pen: Pen, place: np.ndarray, r: float, color: str, fresh: bool, boxed: bool) -> None:
    """A cross where a unit fell, large in the step after its death; in a box if the edge did it."""
    (x, y), width = place, (4 if fresh else 1) * SCALE
    s = r if fresh else r / 2
    pen.line((x - s, y - s, x + s, y + s), color, width)
    pen.line((x - s, y + s, x + s, y - s), color, width)
    if boxed:
        pen.rectangle(_around(place, s), None, color, width)
