"""What setup.cfg cannot say: where examples and teams go, and what README is elsewhere."""

import re
from pathlib import Path

from setuptools import find_packages, setup

#: Packages of data -> folders of the repository.
DATA = {"rllib_qatten.tuned_examples": "tuned_examples", "rllib_qatten.zoo": "zoo"}


def long_description() -> str:
    """README without links into the repository and pictures from it, which lead nowhere elsewhere.

    A picture goes with its caption, the paragraph in italics below it; a link leaves its text.
    """
    text = Path("README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n\n(\*[^*]+\*\n\n)?", "", text)
    return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", text)


setup(
    packages=[*find_packages(include=["rllib_qatten*"]), *DATA],
    package_dir=DATA,
    long_description=long_description(),
    long_description_content_type="text/markdown",
)
