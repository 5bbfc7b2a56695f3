"""What is published: the wheel works in an empty folder, the source distribution tests itself."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def run(*command, cwd, **env):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | env
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=600, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source distribution, and the wheel built from it, in a copy of the repository."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    # Tests of the source distribution itself run where there is no git.
    files = [ROOT / name for name in tracked.stdout.split("\0") if name]
    for file in files or [f for f in ROOT.rglob("*") if f.is_file() and ".venv" not in f.parts]:
        copy = source / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)
    run(sys.executable, "-m", "build", "--outdir", out, source, cwd=source)
    [wheel], [archive] = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, archive


def test_the_files_are_well_made(built, tmp_path):
    wheel, archive = built
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, archive, cwd=tmp_path)
    run(sys.executable, "-m", "check_wheel_contents", wheel, cwd=tmp_path)


def test_the_wheel_holds_the_whole_package_the_examples_and_the_zoo(built):
    names = set(zipfile.ZipFile(built[0]).namelist())
    package = {
        str(f.relative_to(ROOT))
        for f in (ROOT / "rllib_qatten").rglob("*")
        if f.is_file() and "__pycache__" not in f.parts
    }
    examples = {f"rllib_qatten/tuned_examples/{f.name}" for f in ROOT.glob("tuned_examples/*.*")}
    teams = {f"rllib_qatten/{f.relative_to(ROOT)}" for f in ROOT.glob("zoo/*/*.*")}
    assert examples
    assert teams
    about = {name for name in names if ".dist-info/" in name}
    assert names - about == package | examples | teams


def test_the_description_stands_on_its_own(built):
    wheel = zipfile.ZipFile(built[0])
    [name] = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    about = HeaderParser().parsestr(wheel.read(name).decode())
    assert about["Author"] == "rllib_qatten contributors"
    description = about.get_payload()
    assert len(description.splitlines()) > 80
    assert not re.findall(r"\]\((?!https://)[^)]*\)", description)


def test_the_source_distribution_runs_its_tests(built, tmp_path):
    """Those that read files of the repository, which the wheel lacks."""
    with tarfile.open(built[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    [folder] = tmp_path.iterdir()
    tests = ("test_readme.py", "test_docs.py", "test_repository.py", "test_layers.py")
    tests += ("report/test_runs.py", "commands/test_example.py")
    words = ("-q", "-x", "-p", "no:cacheprovider", *(f"tests/{name}" for name in tests))
    run(sys.executable, "-m", "pytest", *words, cwd=folder, PYTHONPATH=str(folder))


def test_what_the_dockerfile_copies_is_all_that_the_package_needs(built, tmp_path):
    place, out = tmp_path / "src", tmp_path / "dist"
    for line in re.findall(r"^COPY (.+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        *sources, target = line.split()
        for source in map(ROOT.joinpath, sources):
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, place / target, ignore=ignored)
            else:
                (place / target).mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, place / target)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", out, place, cwd=place)
    [wheel] = out.glob("*.whl")
    names, wanted = (zipfile.ZipFile(file).namelist() for file in (wheel, built[0]))
    assert sorted(names) == sorted(wanted)


@pytest.fixture(scope="module")
def rllib(built, tmp_path_factory):
    """The command of a new virtual environment with the wheel, in an empty folder.

    The packages it needs are those of the environment that runs this test: a path, and no copies.
    """
    place, folder = tmp_path_factory.mktemp("venv"), tmp_path_factory.mktemp("empty")
    venv.create(place, with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = place / "lib" / version / "site-packages"
    install = ("install", "-q", "--no-deps", "--target", own, built[0])
    run(sys.executable, "-m", "pip", *install, cwd=folder)
    (own / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")

    def command(*words):
        return run(place / "bin" / "python", "-m", "rllib_qatten", *words, cwd=folder)

    where = run(place / "bin" / "python", "-c", "import rllib_qatten as r; print(r.__file__)",
                cwd=folder)  # fmt: skip
    assert where.strip() == str(own / "rllib_qatten" / "__init__.py")
    command.folder = folder
    return command


def test_from_an_example_to_a_report_without_a_clone(rllib):
    small = ("--stop", "training_iteration=2", "--storage-path", "out")
    small += ("--set", "evaluation_duration=4", "--set", "min_sample_timesteps_per_iteration=400")
    assert "qatten_3s5z " in rllib("example", "list")
    rllib("example", "run", "qatten_3m", *small)
    assert "Wrote qatten_3m.yaml" in rllib("example", "get", "qatten_3m")
    rllib("train", "-f", "qatten_3m.yaml", *small, "--name", "again")
    [checkpoint] = rllib.folder.glob("out/qatten_3m/*/checkpoint_000000")
    rllib("evaluate", checkpoint, "--episodes", "4", "--json", "e.json", "--video", "battle.gif")
    assert json.loads((rllib.folder / "e.json").read_text())["num_episodes"] == 4
    assert (rllib.folder / "battle.gif").stat().st_size > 1000
    rllib("attention", checkpoint)
    assert {f.suffix for f in (rllib.folder / "attention").iterdir()} >= {".png", ".html", ".npz"}
    assert "Wrote report" in rllib("report", "out")


def test_a_team_of_the_zoo_plays_without_a_clone(rllib):
    assert "qatten_3m " in rllib("zoo")
    told = rllib("evaluate", "zoo:qatten_3m", "--episodes", "64", "--video", "zoo.gif")
    assert "zoo:qatten_3m states" in told
    assert (rllib.folder / "zoo.gif").stat().st_size > 1000
