"""What setup.cfg cannot say: where the examples go, and what README is away from its repository."""

import re
from pathlib import Path

from setuptools import find_packages, setup

EXAMPLES = "rllib_qatten.tuned_examples"


def long_description() -> str:
    """README without links into the repository and pictures from it, which lead nowhere elsewhere.

    A picture goes with its caption, the paragraph in italics below it; a link leaves its text.
    """
    text = Path("README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n\n(\*[^*]+\*\n\n)?", "", text)
    return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", text)


setup(
    packages=[*find_packages(include=["rllib_qatten*"]), EXAMPLES],
    package_dir={EXAMPLES: "tuned_examples"},
    long_description=long_description(),
    long_description_content_type="text/markdown",
)
