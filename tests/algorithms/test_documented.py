"""The table of settings in the docs is that of the signatures."""

from pathlib import Path

from rllib_qatten import ALGORITHMS

PAGE = Path(__file__).parents[2] / "docs" / "algorithms.md"
BEGIN, END = "<!-- options -->\n", "<!-- end of options -->"
OURS = "rllib_qatten."


def table():
    rows = ["| algorithm | setting | default | what it is |", "| --- | --- | --- | --- |"]
    for name in ALGORITHMS:
        if not ALGORITHMS[name].__module__.startswith(OURS):
            continue
        for option in ALGORITHMS[name].config_class.options.values():
            meaning = option.meaning.replace("|", "\\|")
            rows.append(f"| {name} | `{option.name}` | `{option.default!r}` | {meaning} |")
    return "\n".join(rows) + "\n"


def test_the_page_has_the_options_as_the_signatures_do():
    written = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert written == table(), f"put this between {BEGIN}and {END}:\n{table()}"
