"""A battle as an animated GIF: where units stand, how healthy they are, whom they attack.

Enemies only light up when they shoot: their targets are not known.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.errors import BadInput
from rllib_qatten.evaluation.battle import Battle, drawable
from rllib_qatten.rollout.episode import TeamEpisode

SIZE, SCALE = 480, 2  # pixels a side; drawn larger and shrunk, for smooth edges
FRAME_MS, LAST_MS = 160, 1600
BACKGROUND, TEXT, ALLY, ENEMY, SHOT = "#16181d", "#d8dbe2", "#4c8dff", "#ff5d5d", "#ffd75e"


def check_drawable(spec: TeamSpec) -> None:
    """Refuses what cannot be drawn.

    Raises:
        BadInput: Unless the battles are SMAX's.
    """
    if not drawable(spec):
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
    battle = Battle.of(episode, spec)
    health, alive = battle.health, battle.alive
    positions, radii = _pixels(battle.positions, alive, battle.radii)
    result = "won" if episode.won else "lost" if episode.terminated else "time over"
    frames = []
    for t in range(len(health)):
        image = Image.new("RGB", (SIZE * SCALE, SIZE * SCALE), BACKGROUND)
        pen = ImageDraw.Draw(image)
        shoots = battle.shoots[t]
        for i, target in enumerate(battle.targets[t].tolist() if t < len(episode) else ()):
            if target >= 0 and alive[t, target]:
                ends = [tuple(positions[t, i]), tuple(positions[t, target])]
                pen.line(ends, SHOT if shoots[i] else "#7d7040", 2 * SCALE if shoots[i] else SCALE)
        for i in np.flatnonzero(alive[t]).tolist():
            colour = ALLY if i < spec.n_agents else ENEMY
            rim = SHOT if shoots[i] else BACKGROUND
            x, y = positions[t, i]
            _unit(pen, x, y, radii[i], battle.types[i], health[t, i], colour, rim)
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
