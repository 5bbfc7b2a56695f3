"""Colors of every figure, page and video: safe for color-blind readers, readable in gray print.

Okabe and Ito's palette (https://jfly.uni-koeln.de/color); color is never the only cue.
"""

from __future__ import annotations

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, ORANGE, YELLOW = "#56B4E9", "#E69F00", "#F0E442"
#: Lines and bars, on white and on black: without black, the color of text, and yellow, which is
#: hard to see on white.
COLORS = (BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE)
#: Text and axes, and nothing else, so that a page can substitute its own color.
INK = "#1f2328"

#: Colors of pages and videos, in light and dark themes.
LIGHT = {
    "ground": "#ffffff",
    "panel": "#f4f5f7",
    "ink": INK,
    "dim": "#57606a",
    "rule": "#d1d9e0",
    "warn": "#fff8c5",
    "ally": BLUE,
    "enemy": VERMILLION,
    "shot": "#000000",
    "health": GREEN,
    "ring": PURPLE,
    "outside": "#eceef1",
}
DARK = {
    "ground": "#14161a",
    "panel": "#1d2026",
    "ink": "#e6e9ee",
    "dim": "#9aa3b0",
    "rule": "#3b424d",
    "warn": "#3a3000",
    "ally": SKY,
    "enemy": VERMILLION,
    "shot": YELLOW,
    "health": GREEN,
    "ring": PURPLE,
    "outside": "#23262d",
}


def css() -> str:
    """Both themes as custom properties, `--ink` and so on; the reader's system chooses."""
    light, dark = (
        " ".join(f"--{name}: {color};" for name, color in theme.items()) for theme in (LIGHT, DARK)
    )
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"
    )
