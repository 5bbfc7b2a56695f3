"""The notebook under docs runs from its first cell to its last."""

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="the extra docs is not installed")
nbclient = pytest.importorskip("nbclient", reason="the extra docs is not installed")
NOTEBOOK = nbformat.read(Path(__file__).parents[1] / "docs" / "first_steps.ipynb", 4)


def said(notebook):
    """What its cells printed, one text each."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(o.text for o in cell.outputs if o.get("name") == "stdout") for cell in cells]


def check(notebook):
    install, team, video, weights, two_step, env, own, acting = said(notebook)
    assert not install + video + env
    assert "agents: ally_0 ally_1 ally_2" in team
    assert "won: " in team
    [battle] = [cell for cell in notebook.cells if "battle.gif" in cell.source]
    assert any("image/gif" in o.get("data", {}) for o in battle.outputs)
    assert "head 3:" in weights
    assert any(line.endswith(": 8.0") for line in two_step.splitlines())
    assert own.splitlines()[-1].startswith("return 1.0, ")
    assert re.search(r"'left': (\d), 'right': \1}$", acting.splitlines()[-1])


def test_what_it_shows_is_what_it_gave():
    check(NOTEBOOK)


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    copy = nbformat.from_dict(NOTEBOOK)
    place = {"metadata": {"path": tmp_path}}
    nbclient.NotebookClient(copy, timeout=600, resources=place).execute()
    check(copy)
