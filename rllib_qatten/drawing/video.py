"""A battle as a video: drawn as GIF or MP4 at the game's own speed, or the engine's own replay."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from rllib_qatten.drawing.battle_frames import BattleFrames
from rllib_qatten.drawing.palette import DARK
from rllib_qatten.envs.battles.battle import Battle
from rllib_qatten.envs.team import TeamVector
from rllib_qatten.errors import BadInput
from rllib_qatten.rollout.episode import TeamEpisode

GIF, MP4 = ".gif", ".mp4"
#: Seconds that a picture is shown, at most, and pictures of a battle, about: long ones get fewer a
#: step, each of which is shown for longer.
FRAME_S, FRAMES = 0.1, 400
#: Seconds for which the end is held, at most: it is never longer than half of the battle.
HOLD_S = 2.0
#: Colors of a GIF.
GIF_COLORS = 128


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
    on_steps: Callable[[int], None] = lambda drawn: None,
) -> None:
    """Writes the format that the file's suffix names.

    Args:
        episode: The battle to draw.
        teams: The games; the first one saves the replay, if that is requested.
        file: The file to write; see `check`.
        on_steps: Called with the number of steps that were just drawn, of T.

    Raises:
        EngineFailed: If the engine saved no replay.
    """
    ending = file.suffix.lower()
    if ending not in (GIF, MP4):
        file.write_bytes(teams.save_replay())
        return
    battle = teams.battle(episode.state, episode.actions.astype(np.int64))
    steps = len(episode)
    a_step = pictures_a_step(battle, steps)
    seconds = battle.step_seconds / a_step
    images = _counted(frames(battle, episode, DARK, a_step), a_step, on_steps)
    hold = min(HOLD_S, steps * battle.step_seconds / 2)
    if ending == MP4:
        _write_mp4(images, file, seconds, round(hold / seconds))
    else:
        pen = BattleFrames(battle, episode)
        looks = [pen.small(t) for t in (0, steps // 2, steps)]
        _write_gif(images, file, [seconds] * (a_step * steps) + [hold], looks)


def pictures_a_step(battle: Battle, steps: int) -> int:
    """How many pictures are drawn of each step, so that units move smoothly."""
    wanted = round(battle.step_seconds / FRAME_S)
    return max(1, min(wanted, FRAMES // max(1, steps)))


def frames(
    battle: Battle, episode: TeamEpisode, theme: dict[str, str] = DARK, a_step: int = 1
) -> Iterator[Image.Image]:
    """The pictures of a battle, `a_step` of each step and one of the end.

    Args:
        battle: The units' positions.
        episode: The game.
        theme: LIGHT or DARK of `palette`.
        a_step: Pictures a step.
    """
    pen = BattleFrames(battle, episode, theme)
    for t in range(len(episode)):
        for k in range(a_step):
            yield pen.small(t, k / a_step)
    yield pen.small(len(episode))


def _counted(
    images: Iterator[Image.Image], a_step: int, on_steps: Callable[[int], None]
) -> Iterator[Image.Image]:
    for number, image in enumerate(images):
        yield image
        if number and number % a_step == 0:
            on_steps(1)


def _write_gif(
    images: Iterator[Image.Image], file: Path, seconds: list[float], looks: list[Image.Image]
) -> None:
    """All pictures in the colors of some: with colors of their own, still parts would flicker."""
    width, height = looks[0].size
    together = Image.new("RGB", (width, height * len(looks)))
    for place, look in enumerate(looks):
        together.paste(look, (0, place * height))
    colors = together.quantize(GIF_COLORS)
    plain = (image.quantize(palette=colors, dither=Image.Dither.NONE) for image in images)
    shown = [max(20, round(1000 * s)) for s in seconds]  # viewers slow down what is faster
    next(plain).save(file, "GIF", save_all=True, append_images=plain, duration=shown, loop=0)


def _write_mp4(images: Iterator[Image.Image], file: Path, seconds: float, held: int) -> None:
    """H.264 in the pixel format that every player supports."""
    import av

    with av.open(str(file), "w", format="mp4") as video:
        rate = Fraction(1 / seconds).limit_denominator(1000)
        stream = video.add_stream("libx264", rate=rate)
        stream.pix_fmt = "yuv420p"
        for number, image in enumerate(images):
            if not number:
                stream.width, stream.height = image.size
            video.mux(stream.encode(av.VideoFrame.from_image(image)))
        for _ in range(held - 1):
            video.mux(stream.encode(av.VideoFrame.from_image(image)))
        video.mux(stream.encode())
