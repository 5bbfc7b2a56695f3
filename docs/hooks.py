"""What the site adds to Markdown as GitHub shows it: equations, and pages from the root."""

import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

ROOT = Path(__file__).parents[1]
EQUATION = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^<!-- file: (\S+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MathML, which needs no script, for `math` blocks; a file for `<!-- file: NAME -->`."""
    markdown = FILE.sub(lambda found: _file(found[1]), markdown)
    markdown = markdown.replace("](../benchmarks/README.md)", "](benchmarks.md)")
    return EQUATION.sub(lambda found: convert(found[1].strip(), display="block"), markdown)


def _file(name: str) -> str:
    """A file of the root, its links seen from docs."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.sub(r"\]\((\.\./)?docs/", "](", text)
