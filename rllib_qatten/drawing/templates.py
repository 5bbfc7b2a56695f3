"""Pages that need nothing else: no network, no other file."""

from __future__ import annotations

from typing import Any

import jinja2
from markupsafe import Markup

from rllib_qatten.drawing import palette


def render(name: str, content: dict[str, Any]) -> str:
    """The page that a template of this folder makes of its content, in the colors of `palette`."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("rllib_qatten", room) for room in ("report", "drawing")]
        ),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page: str = environment.get_template(name).render(content, theme=Markup(palette.css()))
    return page
