"""Pages that need nothing else: no network, no other file, and no script but their own."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import jinja2
from markupsafe import Markup

from rllib_qatten.drawing import palette


def render(room: str, name: str, content: dict[str, Any], style: str, script: str = "") -> str:
    """The page that a template makes of its content, in the colors of `palette`.

    Whatever is in the content is shown as text. Should some of it come to stand as markup all the
    same, the page's Content-Security-Policy lets no script, style or address in it work: it names
    the one style and the one script by their sums.

    Args:
        room: The folder of this package that holds the template.
        name: The template's; it puts `policy`, `style` and `script` in their places.
        content: What it shows.
        style: The page's CSS.
        script: Its JavaScript.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rllib_qatten", room),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style = f"{palette.css()}\n{style}"
    policy = [
        "default-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "img-src data:",  # heat maps in figures
        f"style-src {_source(style)}",
        f"script-src {_source(script)}" if script else "script-src 'none'",
    ]
    parts = {"policy": "; ".join(policy), "style": Markup(style), "script": Markup(script)}
    page: str = environment.get_template(name).render(content, **parts)
    return page


def _source(text: str) -> str:
    """A part of the page as its policy names it."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
