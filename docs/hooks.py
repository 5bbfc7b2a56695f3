"""What the site adds to Markdown as GitHub shows it: equations, and files from elsewhere."""

import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[1]
EQUATION = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^<!-- file: (\S+) -->$", re.MULTILINE)
#: A link to a file of the repository that is no page.
OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MathML, which needs no script, for `math` blocks; a file for `<!-- file: NAME -->`."""
    markdown = FILE.sub(lambda found: _file(ROOT / found[1]), markdown)
    markdown = markdown.replace("](../benchmarks/README.md)", "](benchmarks.md)")
    markdown = OUTSIDE.sub(r"`\1`", markdown)
    return EQUATION.sub(lambda found: convert(found[1].strip(), display="block"), markdown)


def _file(path: Path) -> str:
    """A file's Markdown, its links seen from docs; a notebook's with outputs and pictures."""
    if path.suffix != ".ipynb":
        return re.sub(r"\]\((\.\./)?docs/", "](", path.read_text(encoding="utf-8"))
    exporter = MarkdownExporter(config={"NbConvertBase": {"display_data_priority": _KINDS}})
    text, _ = exporter.from_filename(str(path))
    return text


_KINDS = ["text/html", "text/markdown", "text/plain"]
