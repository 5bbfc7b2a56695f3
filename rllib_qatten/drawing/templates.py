"""Self-contained pages: no network, no other files, no scripts but their own."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import jinja2
from markupsafe import Markup

from rllib_qatten.drawing import palette


def render(room: str, name: str, content: dict[str, Any], style: str, script: str = "") -> str:
    """Renders a template with its content, in the colors of `palette`.

    All content is shown as text. Should any of it end up as markup after all, the page's
    Content-Security-Policy blocks scripts, styles and addresses in it: it allows a single style and
    a single script, by their hashes.

    Args:
        room: The folder of this package that holds the template.
        name: The template's name; it inserts `policy`, `style` and `script`.
        content: The template's variables.
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
    """A part of the page in its policy's notation."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
