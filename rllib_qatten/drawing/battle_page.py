"""A game and its weights as one HTML page."""

from __future__ import annotations

import importlib.resources
import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2.utils import htmlsafe_json_dumps
from matplotlib.colors import to_hex

from rllib_qatten.drawing.palette import COLORS
from rllib_qatten.drawing.style import HEAT
from rllib_qatten.drawing.templates import render
from rllib_qatten.evaluation.mixer_weights import WeighedGame

#: Decimals of the numbers in the page.
DIGITS = 5


def write(game: WeighedGame, file: Path) -> None:
    """Writes the page.

    Args:
        game: The game; without a drawing if the units' positions are unknown.
        file: The file to write.
    """
    folder = importlib.resources.files(__package__)
    style, script = (
        folder.joinpath(f"battle_page.{ending}").read_text("utf-8") for ending in ("css", "js")
    )
    # Escaped so that nothing in it can close the script element or open another.
    data = htmlsafe_json_dumps(shown(game), separators=(",", ":"))
    content = {"title": game.title, "data": data}
    page = render("drawing", "battle_page.html.jinja", content, style, script)
    file.write_text(page, encoding="utf-8")


def shown(game: WeighedGame) -> dict[str, Any]:
    """The page's data: heat maps [T, N], lines [T, H], and the battle."""
    weights, episode, battle = game.weights, game.episode, game.battle
    heads = [] if weights.attention is None else list(np.moveaxis(weights.attention, 1, 0))
    maps = [_map(f"attention of head {h}", values) for h, values in enumerate(heads)]
    maps.append(_map("effective weight dQ_tot/dQ_i", weights.effective_weights))
    if game.vitality:
        maps.append(_map(*game.vitality, limits=(0, 1)))
    lines: list[tuple[str, np.ndarray]] = []
    if weights.head_weights is not None and weights.entropies is not None:
        lines.append(("head weights", weights.head_weights))
        lines.append(("entropy of attention (nats)", weights.entropies))
    lines.append(("Q_tot", weights.q_tot[:, None]))
    lines.append(("reward", episode.rewards[:, None]))
    return {
        "labels": game.labels,
        "engine": game.spec.engine,
        "heads": len(heads),
        "maps": maps,
        "lines": [{"name": name, "rows": _plain(values)} for name, values in lines],
        "even": math.log(game.spec.n_agents),
        "alive": episode.alive.astype(int).tolist(),
        "actions": episode.actions.tolist(),
        "heat": [to_hex(color) for color in mpl.colormaps[HEAT](range(256))],
        "colors": COLORS,
        "battle": battle
        and {
            "health": _plain(battle.health),
            "positions": _plain(battle.positions),
            "shoots": battle.shoots.astype(int).tolist(),
            "targets": battle.targets.tolist(),
            "types": battle.types,
            "radii": _plain(battle.radii),
            "deaths": battle.deaths,
            "edgeKills": battle.edge_kills,
            "stepSeconds": battle.step_seconds,
        },
    }


def _map(name: str, values: np.ndarray, limits: tuple[int, int] | None = None) -> dict[str, Any]:
    """A heat map; its colors span the limits, or else the values' range."""
    return {"name": name, "rows": _plain(values), "limits": limits}


def _plain(values: np.ndarray) -> Any:
    return np.round(values.astype(np.float64), DIGITS).tolist()
