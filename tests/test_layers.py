"""Nothing imports upward, and mixers and agents never import Ray."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "rllib_qatten"
#: Folder -> what of the package it may import, beside itself.
BELOW = {
    "mixers": {"products"},
    "agents": {"suggest", "errors", "products"},
    "envs": {"suggest"},
    "rollout": {"envs", "agents", "metrics"},
    "training": {"envs", "agents", "mixers", "rollout", "metrics"},
    "algorithms": {"envs", "agents", "mixers", "rollout", "training", "metrics", "suggest"},
    "evaluation": {
        "envs",
        "agents",
        "mixers",
        "rollout",
        "training",
        "algorithms",
        "metrics",
        "errors",
        "suggest",
    },
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: write imports in full"
            if node.module == "rllib_qatten":
                yield from (f"rllib_qatten.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("folder", BELOW)
def test_imports_only_downward(folder):
    for path in (PACKAGE / folder).glob("*.py"):
        ours = {name.split(".")[1] for name in imports(path) if name.startswith("rllib_qatten.")}
        assert ours <= BELOW[folder] | {folder}, path


def test_every_folder_has_its_place():
    assert {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()} == BELOW.keys()


@pytest.mark.parametrize("folder", ["mixers", "agents"])
def test_plain_torch(folder):
    for path in (PACKAGE / folder).glob("*.py"):
        assert "ray" not in {name.split(".")[0] for name in imports(path)}, path
