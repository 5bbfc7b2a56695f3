"""`rllib doctor` in installations of every kind, made of real folders and real metadata."""

import importlib
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rllib_qatten.__main__ import app
from rllib_qatten.commands import doctor
from rllib_qatten.envs.battles import sc2, sc2_install
from tests.envs.battles import fake_sc2

ROOT = Path(__file__).parents[2]
GOOD = {"ray": "2.60.0", "protobuf": "3.20.3", "rllib-qatten": "0.1.0"}
SMAX = {"jaxmarl": "0.2.0", "jax": "0.10.2"}


@pytest.fixture
def examined(tmp_path, monkeypatch):
    """Runs the command where only the given distributions are installed."""
    site = tmp_path / "metadata"
    monkeypatch.delenv("SC2PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(versions, *folders):
        for name, version in versions.items():
            info = site / f"{name.replace('-', '_')}-{version}.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        standard = [p for p in sys.path if p and "site-packages" not in p and Path(p) != ROOT]
        monkeypatch.setattr(sys, "path", [*map(str, folders), str(site), *standard])
        importlib.invalidate_caches()
        sc2._info.cache_clear()
        result = CliRunner().invoke(app, ["doctor"])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        lines = [" ".join(line.split()) for line in result.output.splitlines()]
        return result.exit_code, lines

    return run


def test_bare_install(examined, tmp_path):
    code, lines = examined(GOOD)
    assert code == 1
    assert "engine smax jaxmarl missing None; needed is 0.2.0" in lines
    assert "engine sc2 pysc2 missing None" in lines
    assert (
        "engine sc2 smac missing the package 'smac' (github.com/oxwhirl/smac) is not installed"
        in lines
    )
    place = tmp_path / "StarCraftII"
    assert f"engine sc2 game missing SC2PATH is not set and {place} is no folder" in lines
    smax, sc2_ = lines.index("For engine smax:"), lines.index("For engine sc2:")
    assert lines[smax + 1] == "pip install 'rllib-qatten[smax]'"
    assert lines[sc2_ + 1 : sc2_ + 3] == [
        "pip install 'rllib-qatten[sc2]'",
        f"pip install --no-deps git+https://github.com/oxwhirl/smac@{sc2_install.COMMITS['smac']}",
    ]
    assert lines[sc2_ + 3].startswith("curl -O ")
    assert lines[-1] == (
        "No engine can play SMAC's battles here. "
        "The small games and envs of your own can be trained on."
    )


def test_engine_free_install(examined):
    code, lines = examined(GOOD | SMAX)
    assert code == 0
    assert "engine smax jaxmarl ok 0.2.0 (jax 0.10.2)" in lines
    assert lines[-1] == "Ready to train with engine smax."


def test_wrong_ray(examined):
    code, lines = examined(GOOD | SMAX | {"ray": "2.61.0"})
    assert code == 1
    assert "every engine Ray missing 2.61.0; tested is <2.61,>=2.60.0" in lines
    assert "pip install 'ray[rllib]<2.61,>=2.60.0'" in lines
    assert lines[-1].endswith("Nothing can be trained before the above is mended.")


def test_the_other_smac_is_told_apart_without_importing_it(examined, tmp_path, monkeypatch):
    other = tmp_path / "other"
    (other / "smac" / "facade").mkdir(parents=True)
    (other / "smac" / "__init__.py").write_text("raise RuntimeError('was imported')\n")
    (other / "smac" / "scenario.py").touch()
    code, lines = examined(GOOD | SMAX | {"smac": "2.4.1"}, other)
    assert code == 0
    assert (
        f"engine sc2 smac missing the package 'smac' in {other / 'smac'} is another project of "
        "that name, PyPI's SMAC3 by AutoML 2.4.1, not the StarCraft Multi-Agent Challenge" in lines
    )
    assert any(
        line.startswith("pip uninstall -y smac && pip install --no-deps git+") for line in lines
    )
    assert "smac" not in sys.modules
    # What a user reads who asks for it, and for neither.
    problem = next(p for p in sc2_install.problems("3m") if "another project" in p.what)
    assert problem.mend.startswith("pip uninstall -y smac")


def test_sc2path_that_points_nowhere(examined, tmp_path, monkeypatch):
    site, _ = fake_sc2.install(tmp_path)
    monkeypatch.setenv("SC2PATH", str(tmp_path / "nowhere"))
    code, lines = examined(GOOD, site)
    assert code == 1
    place = tmp_path / "nowhere"
    assert f"engine sc2 game missing SC2PATH is '{place}', which is no folder" in lines
    assert f"engine sc2 smac ok 1.0.0 in {site / 'smac'}" in lines
    (place / "Versions").mkdir(parents=True)
    _, lines = examined({}, site)
    what = f"{place} holds no StarCraft II: Versions/Base*/SC2_x64 is missing"
    assert f"engine sc2 game missing {what}" in lines


def test_protobuf_too_new_is_no_problem_for_games(examined, tmp_path, monkeypatch):
    site, game = fake_sc2.install(tmp_path)
    # What s2clientprotocol does with a protobuf of today, when nothing was said before.
    (site / "pysc2" / "__init__.py").write_text(
        "import os\n"
        "if os.environ.get('PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION') != 'python':\n"
        "    raise TypeError('Descriptors cannot be created directly.')\n"
    )
    monkeypatch.setenv("SC2PATH", str(game))
    code, lines = examined(GOOD | {"protobuf": "7.36.2"}, site)
    assert (
        "engine sc2 protobuf ok 7.36.2: too new for StarCraft II's messages, so game processes run "
        "it in pure Python" in lines
    )
    assert code == 0


def test_good_install(examined, tmp_path, monkeypatch):
    site, game = fake_sc2.install(tmp_path)
    monkeypatch.setenv("SC2PATH", str(game))
    code, lines = examined(GOOD | SMAX, site)
    assert code == 0
    assert f"engine sc2 game ok build 75689 in {game} (SC2PATH)" in lines
    assert "engine sc2 smac answers ok sc2 (StarCraft II 4.10.0 build 75689, smac 1.0.0)" in lines
    assert lines[-1] == "Ready to train with engine smax and engine sc2."
    copy = next(line for line in lines if line.startswith("git clone "))
    assert str(game / "Maps") in copy


def test_smac_that_cannot_be_imported(examined, tmp_path, monkeypatch):
    site, game = fake_sc2.install(tmp_path)
    (site / "smac" / "env" / "__init__.py").write_text("import a_missing_one\n")
    monkeypatch.setenv("SC2PATH", str(game))
    code, lines = examined(GOOD, site)
    assert code == 1
    assert (
        "engine sc2 smac answers missing ModuleNotFoundError: No module named 'a_missing_one'"
        in lines
    )


def test_ranges_are_those_of_the_package():
    text = (ROOT / "pyproject.toml").read_text()
    assert '"ray[rllib]>=2.60.0,<2.61"' in text
    assert str(doctor.RAY) == "<2.61,>=2.60.0"
    assert f'"jaxmarl=={doctor.JAXMARL}"' in text
    extras = text.split("[project.optional-dependencies]")[1].split("[project.scripts]")[0]
    assert '"smac' not in extras  # on PyPI that is another project
