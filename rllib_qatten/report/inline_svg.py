"""A figure as an element of a page: unique ids, the page's text color, no outer size.

It is parsed and serialized, never patched as text, since its labels come from untrusted files.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from markupsafe import Markup

from rllib_qatten.drawing.palette import INK

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)
#: The content of matplotlib's style element; lines inherit it from the whole drawing.
LINES = {"stroke-linejoin": "round", "stroke-linecap": "butt"}


def inline(svg: str, name: str, label: str) -> Markup:
    """Turns matplotlib's document into an element.

    Args:
        svg: The document.
        name: A name that is unique on the page; ids begin with it.
        label: What it shows, for screen readers.
    """
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}style", f"{{{SVG}}}metadata"):
                parent.remove(child)
    for element in root.iter():
        # The page's policy blocks style attributes, but not the same as separate attributes.
        for declaration in filter(None, element.attrib.pop("style", "").split(";")):
            key, _, value = declaration.partition(":")
            element.set(key.strip(), value.strip())
        for key, value in list(element.attrib.items()):
            element.set(key, _own(key, value, name))
    root.attrib = {
        "role": "img",
        "aria-label": label,
        "viewBox": root.attrib["viewBox"],
        **LINES,
    }
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _own(key: str, value: str, name: str) -> str:
    """An attribute's value on the page."""
    if key == "id":
        return f"{name}-{value}"
    if key == f"{{{XLINK}}}href":
        return re.sub(r"^#", f"#{name}-", value)
    return re.sub(r"url\(#", f"url(#{name}-", value).replace(INK, "currentColor")
