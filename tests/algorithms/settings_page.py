"""Writes the tables of docs/settings.md and docs/coming_from.md: `python -m` this module."""

import re
from pathlib import Path

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from rllib_qatten.algorithms.old_names import OLD_NAMES
from rllib_qatten.algorithms.rllib_settings import CANNOT, NOT_USED, WORKS, public

DOCS = Path(__file__).parents[2] / "docs"
PAGE, OLD_PAGE = DOCS / "settings.md", DOCS / "coming_from.md"


def settings_table():
    """The three tables as one, in RLlib's own order."""
    rows = ["| setting | here | |", "| --- | --- | --- |"]
    for name in vars(AlgorithmConfig()):
        for table, verdict in ((WORKS, "works"), (NOT_USED, "not used"), (CANNOT, "cannot work")):
            if name in table:
                rows.append(f"| `{public(name)}` | {verdict} | {table[name]} |")
    return "\n".join(rows)


def names_table():
    rows = ["| name | of | here | |", "| --- | --- | --- | --- |"]
    for name, old in sorted(OLD_NAMES.items()):
        here = re.sub(r"\w+", r"`\g<0>`", old.here).replace("`and`", "and")
        rows.append(f"| `{name}` | {old.whose} | {here or '-'} | {old.note} |")
    return "\n".join(rows)


def write(page, table):
    """Replaces the one table on a page that begins as this one does."""
    text = page.read_text()
    head = re.escape(table.split("\n")[0])
    found = re.sub(rf"^{head}\n(\|.*\n)*", lambda _: table + "\n", text, flags=re.M)
    page.write_text(found)


if __name__ == "__main__":
    write(PAGE, settings_table())
    write(OLD_PAGE, names_table())
