"""A battle as a video: drawn as GIF or MP4, or the engine's own replay.

A frame shows where units stand, how healthy they are, whom they attack, and who just died.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rllib_qatten.drawing.palette import DARK
from rllib_qatten.envs.battles.battle import Battle
from rllib_qatten.envs.team import TeamVector
from rllib_qatten.errors import BadInput
from rllib_qatten.rollout.episode import TeamEpisode

GIF, MP4 = ".gif", ".mp4"
#: Pixels; frames are drawn larger and scaled down, for smooth edges.
WIDTH, MAX_HEIGHT, MARGIN, SCALE = 640, 480, 40, 2
FRAME_MS, LAST_FRAMES = 160, 10  # the end is held


def check(file: Path, teams: TeamVector) -> None:
    """Refuses what `write` cannot produce from these games.

    Raises:
        BadInput: For an unknown suffix, the wrong engine or a missing package.
    """
    ending, engine, own = file.suffix.lower(), teams.spec.engine, teams.replay_ending
    if own and ending == own.lower():
        return
    if ending not in (GIF, MP4):
        instead = f", or {own} ({engine}'s own)" if own else f"; {engine} saves no replays"
        raise BadInput(f"--video {file}: its name must end with .gif or .mp4{instead}.")
    if not teams.drawable:
        instead = f"; use {own}" if own else ""
        raise BadInput(
            f"--video {file}: cannot be drawn, as {engine} does not say where units stand{instead}."
        )
    if ending == MP4 and importlib.util.find_spec("av") is None:
        raise BadInput(
            "MP4 needs the extra 'report' (av is not installed): pip install 'rllib-qatten[report]'"
        )


def write(
    episode: TeamEpisode,
    teams: TeamVector,
    file: Path,
    on_frames: Callable[[int], None] = lambda drawn: None,
) -> None:
    """Writes the format that the file's suffix names.

    Args:
        episode: The battle to draw.
        teams: The games; the first one saves the replay, if that is requested.
        file: The file to write; see `check`.
        on_frames: Called with the number of images that were just drawn, of T+1.

    Raises:
        EngineFailed: If the engine saved no replay.
    """
    ending = file.suffix.lower()
    if ending not in (GIF, MP4):
        file.write_bytes(teams.save_replay())
        return
    images = []
    for image in frames(teams.battle(episode.state, episode.actions.astype(np.int64)), episode):
        images.append(image)
        on_frames(1)
    if ending == MP4:
        _write_mp4(images, file)
    else:
        first, *others = images
        shown = [FRAME_MS] * len(others) + [LAST_FRAMES * FRAME_MS]
        first.save(file, "GIF", save_all=True, append_images=others, duration=shown, loop=0)


def frames(
    battle: Battle, episode: TeamEpisode, theme: dict[str, str] = DARK
) -> Iterator[Image.Image]:
    """T+1 images of a battle, cropped to the part of the map that was used.

    Args:
        battle: The units' positions.
        episode: The game.
        theme: LIGHT or DARK of `palette`.
    """
    n = episode.actions.shape[1]
    health, alive = battle.health, battle.alive
    size, positions, radii = _pixels(battle.positions, alive, battle.radii)
    colors = [theme["ally" if i < n else "enemy"] for i in range(len(radii))]
    names = [kind[:2] + (str(i) if i < n else "") for i, kind in enumerate(battle.types)]
    result = "won" if episode.won else "lost" if episode.terminated else "time over"
    died = np.where(alive.all(0), len(alive), alive.argmin(0))
    for t in range(len(health)):
        image = Image.new("RGB", size, theme["ground"])
        pen = ImageDraw.Draw(image)
        living, shoots = np.flatnonzero(alive[t]).tolist(), battle.shoots[t]
        for i in np.flatnonzero(~alive[t]).tolist():
            _cross(pen, positions[died[i] - 1, i], radii[i], colors[i], fresh=t == died[i])
        for i in living:
            (x, y), r = positions[t, i], radii[i]
            rim = theme["shot"] if shoots[i] else theme["ground"]
            pen.ellipse((x - r, y - r, x + r, y + r), colors[i], rim, 2 * SCALE)
        for i, target in enumerate(battle.targets[t].tolist() if t < len(episode) else ()):
            if target >= 0 and alive[t, i] and alive[t, target]:
                ends = positions[t, i], positions[t, target]
                color = theme["shot"] if shoots[i] else colors[i]
                _attack(pen, *ends, radii[target], color, 3 if shoots[i] else 1)
        for i in living:
            _name_and_health(pen, positions[t, i], radii[i], names[i], health[t, i], theme)
        caption = f"step {t}    {alive[t, :n].sum()} against {alive[t, n:].sum()}"
        caption += f"    {result}" if t == len(episode) else ""
        font = ImageFont.load_default(14 * SCALE)
        pen.text((8 * SCALE, 6 * SCALE), caption, theme["ink"], font)
        yield image.resize((size[0] // SCALE, size[1] // SCALE), Image.Resampling.LANCZOS)


def _write_mp4(images: list[Image.Image], file: Path) -> None:
    """H.264 in the pixel format that every player supports."""
    import av

    with av.open(str(file), "w", format="mp4") as video:
        stream = video.add_stream("libx264", rate=Fraction(1000, FRAME_MS))
        stream.width, stream.height = images[0].size
        stream.pix_fmt = "yuv420p"
        for image in images + images[-1:] * (LAST_FRAMES - 1):
            video.mux(stream.encode(av.VideoFrame.from_image(image)))
        video.mux(stream.encode())


def _pixels(
    positions: np.ndarray, alive: np.ndarray, radii: np.ndarray
) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
    """The image's size, positions [T+1, V, 2] and radii [V], in pixels."""
    seen = positions[alive]
    low, high = seen.min(0), seen.max(0)
    span = np.maximum(high - low, 0.15)
    edge = np.array([2 * MARGIN, 2 * MARGIN])
    scale = float(((np.array([WIDTH, MAX_HEIGHT]) - edge) / span).min())
    height = 2 * round((span[1] * scale + edge[1]) / 2)  # even, as H.264 requires
    size = np.array([WIDTH, height]) * SCALE
    places = (positions - (low + high) / 2) * [1, -1]  # up is up
    return (int(size[0]), int(size[1])), size / 2 + places * scale * SCALE, radii * scale * SCALE


def _attack(
    pen: ImageDraw.ImageDraw, start: np.ndarray, end: np.ndarray, r: float, color: str, width: int
) -> None:
    """A line to a dot on the near rim of the target."""
    apart = max(float(np.linalg.norm(end - start)), 1e-6)
    end = end - (end - start) * min(0.5, r / apart)
    pen.line([tuple(start), tuple(end)], color, width * SCALE)
    (x, y), dot = end, (width + 1) * SCALE
    pen.ellipse((x - dot, y - dot, x + dot, y + dot), color)


def _name_and_health(
    pen: ImageDraw.ImageDraw,
    place: np.ndarray,
    r: float,
    name: str,
    health: float,
    theme: dict[str, str],
) -> None:
    """Letters on a unit, and a bar above it."""
    x, y = place
    pen.text((x, y), name, theme["ground"], ImageFont.load_default(0.8 * r), anchor="mm")
    top = y - r - 6 * SCALE
    pen.rectangle((x - r, top, x + r, top + 4 * SCALE), theme["ground"])
    pen.rectangle((x - r, top, x + r, top + 3 * SCALE), theme["rule"])
    pen.rectangle((x - r, top, x - r + 2 * r * health, top + 3 * SCALE), theme["health"])


def _cross(pen: ImageDraw.ImageDraw, place: np.ndarray, r: float, color: str, fresh: bool) -> None:
    """Where a unit died: large in the step after its death, small from then on."""
    x, y = place
    s, width = (r, 4 * SCALE) if fresh else (r / 2, SCALE)
    pen.line((x - s, y - s, x + s, y + s), color, width)
    pen.line((x - s, y + s, x + s, y - s), color, width)
