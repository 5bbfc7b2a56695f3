"""What the site adds to Markdown as GitHub shows it: equations, and files from elsewhere."""

import re
from pathlib import Path
from typing import Any

import nbformat
from latex2mathml.converter import convert
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[1]
EQUATION = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^<!-- file: (\S+) -->$", re.MULTILINE)
#: What is shown of an output, the first that it has.
KINDS = ["text/html", "text/markdown", "text/plain"]
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
    notebook = nbformat.read(path, 4)
    for output in (o for cell in notebook.cells for o in cell.get("outputs", [])):
        if "image/gif" in output.get("data", {}):
            source = output.data["image/gif"].replace("\n", "")
            output.data["text/html"] = f'<img alt="a battle" src="data:image/gif;base64,{source}">'
    exporter = MarkdownExporter(config={"NbConvertBase": {"display_data_priority": KINDS}})
    return exporter.from_notebook_node(notebook)[0]
