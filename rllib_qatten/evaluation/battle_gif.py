"""A battle as an animated GIF: where units stand, how healthy they are, whom they attack.

Drawn from the states and actions of a recorded episode alone. The state holds no enemy's target, so
that enemies only light up when they shoot.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rllib_qatten.envs.smax import UNIT_FEATURES
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.errors import BadInput
from rllib_qatten.rollout.episode import TeamEpisode

#: Columns of a unit's features in SMAX's state.
HEALTH, POSITION, COOLDOWN, TYPE = 0, slice(1, 3), 3, slice(4, UNIT_FEATURES)
#: Letters of SMAX's unit types and their radii, as shares of the map's width.
TYPES = ("marine", "marauder", "stalker", "zealot", "zergling", "hydralisk")
RADII = np.array([0.375, 0.5625, 0.625, 0.5, 0.375, 0.625]) / 32
#: The first action that attacks; the next ones attack the next enemies.
FIRST_ATTACK = 5
SIZE, SCALE = 480, 2  # pixels a side; drawn larger and shrunk, for smooth edges
FRAME_MS, LAST_MS = 160, 1600
BACKGROUND, TEXT, ALLY, ENEMY, SHOT = "#16181d", "#d8dbe2", "#4c8dff", "#ff5d5d", "#ffd75e"


def check_drawable(spec: TeamSpec) -> None:
    """Refuses what cannot be drawn.

    Raises:
        BadInput: Unless the battles are SMAX's.
    """
    if not spec.engine.startswith("smax "):
        raise BadInput(f"--gif draws battles of the engine smax only; here plays {spec.engine}.")


def draw(episode: TeamEpisode, spec: TeamSpec, file: Path) -> None:
    """Writes the GIF.

    Args:
        episode: A battle on SMAX.
        spec: Its team.
        file: Where to.

    Raises:
        BadInput: Unless the battle is SMAX's.
    """
    check_drawable(spec)
    units = episode.state.reshape(len(episode.state), -1, UNIT_FEATURES)
    kinds = units[0, :, TYPE].argmax(-1)
    alive = units[:, :, HEALTH] > 0
    positions, radii = _pixels(units[:, :, POSITION], alive, RADII[kinds])
    result = "won" if episode.won else "lost" if episode.terminated else "time over"
    frames = []
    for t in range(len(units)):
        image = Image.new("RGB", (SIZE * SCALE, SIZE * SCALE), BACKGROUND)
        pen = ImageDraw.Draw(image)
        following = min(t + 1, len(units) - 1)
        shoots = units[following, :, COOLDOWN] > units[t, :, COOLDOWN]
        for i, action in enumerate(episode.actions[t].tolist() if t < len(episode) else ()):
            target = spec.n_agents + action - FIRST_ATTACK
            if action >= FIRST_ATTACK and alive[t, target]:
                ends = [tuple(positions[t, i]), tuple(positions[t, target])]
                pen.line(ends, SHOT if shoots[i] else "#7d7040", 2 * SCALE if shoots[i] else SCALE)
        for i in np.flatnonzero(alive[t]).tolist():
            colour = ALLY if i < spec.n_agents else ENEMY
            rim = SHOT if shoots[i] else BACKGROUND
            x, y = positions[t, i]
            _unit(pen, x, y, radii[i], TYPES[kinds[i]], units[t, i, HEALTH], colour, rim)
        allies, enemies = alive[t, : spec.n_agents].sum(), alive[t, spec.n_agents :].sum()
        caption = f"step {t}    {allies} against {enemies}"
        caption += f"    {result}" if t == len(episode) else ""
        pen.text((8 * SCALE, 6 * SCALE), caption, TEXT, ImageFont.load_default(14 * SCALE))
        frames.append(image.resize((SIZE, SIZE), Image.Resampling.LANCZOS))
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_MS]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _pixels(
    positions: np.ndarray, alive: np.ndarray, radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions [T+1, units, 2] and radii [units] in pixels, of the part of the map in use."""
    seen = positions[alive]
    low, high = seen.min(0), seen.max(0)
    pixels = 0.84 * SIZE * SCALE / max(float((high - low).max()), 0.2)
    places = (positions - (low + high) / 2) * [1, -1]  # up is up
    return SIZE * SCALE / 2 + places * pixels, radii * pixels


def _unit(
    pen: ImageDraw.ImageDraw,
    x: float,
    y: float,
    r: float,
    kind: str,
    health: float,
    colour: str,
    rim: str,
) -> None:
    """A disc with its type's first letters, and a bar of its health."""
    pen.ellipse((x - r, y - r, x + r, y + r), colour, rim, 2 * SCALE)
    pen.text((x, y), kind[:2], BACKGROUND, ImageFont.load_default(0.9 * r), anchor="mm")
    top = y - r - 6 * SCALE
    pen.rectangle((x - r, top, x + r, top + 3 * SCALE), "#3a3f4b")
    pen.rectangle((x - r, top, x - r + 2 * r * health, top + 3 * SCALE), "#5fd38d")
