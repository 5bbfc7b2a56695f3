"""`rllib doctor` in installations of every kind, made of real folders and real metadata."""

import importlib.metadata
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from rllib_qatten.__main__ import app
from rllib_qatten.envs.battles import sc2_install, sc2_settings
from rllib_qatten.hardware import machine
from tests.envs.battles import fake_sc2
from tests.envs.battles.test_sc2 import assert_nothing_left

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: Everything that this package requires by itself, as it is installed here, but for what is tested.
REQUIRED = [Requirement(text).name for text in PROJECT["dependencies"]]
GOOD = {
    **{name: importlib.metadata.version(name) for name in REQUIRED},
    "ray": "2.60.0",
    "protobuf": "3.20.3",
    "rllib-qatten": "0.1.0",
}
SMAX = {"jaxmarl": "0.2.0", "jax": "0.10.2", "pillow": "13.0.0"}


def metadata(name, version):
    """What pip would keep of a distribution; of this one all that pyproject.toml says."""
    lines = [f"Name: {name}", f"Version: {version}"]
    if name == "rllib-qatten":
        lines.append(f"Requires-Python: {PROJECT['requires-python']}")
        lines += [f"Requires-Dist: {needed}" for needed in PROJECT["dependencies"]]
        for extra, added in PROJECT["optional-dependencies"].items():
            lines.append(f"Provides-Extra: {extra}")
            lines += [f'Requires-Dist: {needed}; extra == "{extra}"' for needed in added]
    return "\n".join(["Metadata-Version: 2.1", *lines, ""])


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
            (info / "METADATA").write_text(metadata(name, version))
        standard = [p for p in sys.path if p and "site-packages" not in p and Path(p) != ROOT]
        monkeypatch.setattr(sys, "path", [*map(str, folders), str(site), *standard])
        importlib.invalidate_caches()
        sc2_settings.forget()
        result = CliRunner().invoke(app, ["doctor"])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        lines = [" ".join(line.split()) for line in result.output.splitlines()]
        return result.exit_code, lines

    return run


def test_bare_install(examined, tmp_path):
    code, lines = examined(GOOD)
    assert code == 1
    assert "engine smax jaxmarl missing not installed; needs ==0.2.0" in lines
    assert "engine sc2 pysc2 missing not installed" in lines
    assert (
        "engine sc2 smac missing the package 'smac' (github.com/oxwhirl/smac) is not installed"
        in lines
    )
    place = tmp_path / "StarCraftII"
    assert f"engine sc2 game missing SC2PATH is not set and {place} is not a folder" in lines
    smax, sc2_ = lines.index("For engine smax:"), lines.index("For engine sc2:")
    assert lines[smax + 1] == "pip install 'rllib-qatten[smax]'"
    assert lines[sc2_ + 1 : sc2_ + 3] == [
        "pip install 'rllib-qatten[sc2]'",
        f"pip install --no-deps git+https://github.com/oxwhirl/smac@{sc2_install.COMMITS['smac']}",
    ]
    assert lines[sc2_ + 3].startswith("curl -O ")
    assert lines[-1] == (
        "No engine can play SMAC's battles here. "
        "The small games and your own envs can be trained on."
    )


def test_engine_free_install(examined):
    code, lines = examined(GOOD | SMAX)
    assert code == 0
    assert "engine smax jaxmarl ok 0.2.0" in lines
    assert lines[-1] == "Ready to train with engine smax."


def test_wrong_ray(examined):
    code, lines = examined(GOOD | SMAX | {"ray": "2.61.0"})
    assert code == 1
    assert "every engine Ray missing 2.61.0; needs <2.61,>=2.58.1" in lines
    assert "pip install 'ray[rllib]<2.61,>=2.58.1'" in lines
    assert lines[-1].endswith("Nothing can be trained until the above is fixed.")


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
    assert problem.fix.startswith("pip uninstall -y smac")


def test_sc2path_that_points_nowhere(examined, tmp_path, monkeypatch):
    site, _ = fake_sc2.install(tmp_path)
    monkeypatch.setenv("SC2PATH", str(tmp_path / "nowhere"))
    code, lines = examined(GOOD, site)
    assert code == 1
    place = tmp_path / "nowhere"
    assert f"engine sc2 game missing SC2PATH is '{place}', which is not a folder" in lines
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
    (played,) = (
        line for line in lines if line.startswith("engine sc2 a game ok 3m started after ")
    )
    assert played.endswith(" s, sc2 (StarCraft II 4.10.0 build 75689, smac 1.0.0)")
    assert {line["event"] for line in fake_sc2.ledger(site)} == {"launch", "begin"}
    assert_nothing_left(site)
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
        "engine sc2 smac answers missing smac did not say what it plays: ModuleNotFoundError: No "
        "module named 'a_missing_one'." in lines
    )


def no_x_bit(versions):
    program = versions / "Base75689" / "SC2_x64"
    program.chmod(0o644)
    return f"{program} may not be executed", f'chmod +x "{program}"'


def newest_is_empty(versions):
    (versions / "Base80188").mkdir()
    return "SC2_x64 is missing", f'mv "{versions / "Base80188"}" "{versions.parent}"'


def not_a_version(versions):
    odd = versions / "Base75689.old"
    odd.mkdir()
    return f"{odd} is named like a version of the game", f'mv "{odd}" "{versions.parent}"'


@pytest.mark.parametrize("spoil", [no_x_bit, newest_is_empty, not_a_version])
def test_a_game_that_could_not_start_is_not_ready(examined, tmp_path, monkeypatch, spoil):
    site, game = fake_sc2.install(tmp_path)
    monkeypatch.setenv("SC2PATH", str(game))
    what, fix = spoil(game / "Versions")
    code, lines = examined(GOOD | SMAX, site)
    assert code == 0
    assert any(line.startswith("engine sc2 game missing ") and what in line for line in lines)
    assert fix in lines
    assert lines[-1] == "Ready to train with engine smax."
    # Asked for by name, it says the same at once.
    assert what in next(sc2_install.problems("3m")).what


def test_a_game_that_does_not_begin_is_not_ready(examined, tmp_path, monkeypatch):
    """All files are there: only a start can tell."""
    site, game = fake_sc2.install(tmp_path, {0: ["raise", 0]})
    monkeypatch.setenv("SC2PATH", str(game))
    code, lines = examined(GOOD, site)
    assert code == 1
    assert (
        "engine sc2 a game missing 3m does not start: ConnectionError: websocket closed." in lines
    )
    assert_nothing_left(site)


def test_extras_and_the_machine(examined):
    present = {"optuna": "4.0.0", "wandb": "0.31.0"}
    code, lines = examined(GOOD | SMAX | present)
    assert code == 0
    assert "extras optuna ok Optuna's searches: all there" in lines
    assert "extras wandb optional Weights & Biases: wandb 0.31.0; needs <0.31,>=0.24" in lines
    assert {"fast", "report", "export", "envs", "optuna", "wandb", "mlflow"} == {
        line.split()[1] for line in lines if line.startswith("extras ")
    }
    extras = lines.index("For extras:")
    assert "pip install 'rllib-qatten[wandb]' # Weights & Biases" in lines[extras:]
    assert not any("None" in line for line in lines)
    for what in ("memory", "disk"):
        (line,) = (line for line in lines if line.startswith(f"every engine {what} "))
        assert "GB free" in line
        assert "5,000 battles of 3s5z in replay: 5.5 GB" in line
    (line,) = (line for line in lines if line.startswith("every engine processor ok "))
    assert line.endswith(f"; {machine.cpus()} usable")


def test_a_requirement_out_of_its_range(examined):
    code, lines = examined(GOOD | SMAX | {"numpy": "1.26.4"})
    assert code == 1
    assert "every engine numpy missing 1.26.4; needs >=2" in lines
    assert "pip install 'numpy>=2'" in lines


def test_not_installed_by_pip(examined):
    code, lines = examined({name: v for name, v in GOOD.items() if name != "rllib-qatten"})
    assert code == 1
    assert "every engine rllib_qatten missing not installed by pip: versions unknown" in lines


def test_smac_is_no_extra():
    """On PyPI that is another project."""
    needed = [n for added in PROJECT["optional-dependencies"].values() for n in added]
    assert not [name for name in needed if name.startswith("smac")]
