"""`rllib example`, and examples by name."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rllib_qatten.__main__ import app
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment import examples
from rllib_qatten.experiment.examples import file_or_example

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def rllib(*words):
    result = CliRunner().invoke(app, words)
    assert "Traceback" not in result.output
    return result.exit_code, " ".join(result.output.split())


def test_all_are_listed_with_what_they_are():
    code, output = rllib("example", "list")
    assert code == 0
    for file in [*ROOT.glob("tuned_examples/*.yaml"), *ROOT.glob("tuned_examples/*.py")]:
        assert f"{file.stem} " in output
        assert examples.description(file).endswith("."), file  # a whole sentence
    assert "Qatten on the map 3m: three marines against the same, SMAX's shortest" in output


def test_one_becomes_a_file_that_is_never_overwritten(tmp_path):
    assert rllib("example", "get", "qmix_two_step") == (
        0,
        "Wrote qmix_two_step.yaml. Run it: rllib train -f qmix_two_step.yaml",
    )
    written = Path("qmix_two_step.yaml")
    assert written.read_text() == (ROOT / "tuned_examples" / written.name).read_text()
    written.write_text("mine")
    code, output = rllib("example", "get", "qmix_two_step.yaml")
    assert code == 2
    assert "qmix_two_step.yaml exists already: name another file with --output" in output
    assert written.read_text() == "mine"
    Path("sub").mkdir()
    assert rllib("example", "get", "sweep", "-o", "sub")[0] == 0
    assert Path("sub/sweep.py").exists()
    code, output = rllib("example", "get", "sweep", "-o", "nowhere/x")
    assert (code, output) == (2, "Error: nowhere/x: cannot be written: No such file or directory.")


def test_an_unknown_one_gets_the_nearest_name():
    for words in (("example", "get", "qatten_3s5"), ("train", "-f", "qatten_3s5")):
        code, output = rllib(*words)
        assert code == 2
        assert "'qatten_3s5'. Did you mean 'qatten_3s5z'" in output


def test_a_program_is_not_run_as_an_experiment():
    code, output = rllib("example", "run", "sweep")
    assert code == 2
    assert "sweep.py is a program" in output


@pytest.mark.parametrize("words", [("example", "run", "qmix_two_step"),
                                   ("train", "-f", "qmix_two_step")])  # fmt: skip
def test_run_and_train_take_the_same_options(words):
    code, output = rllib(*words, "--set", "env_config.nonsense=1", "--storage-path", "out")
    assert code == 2
    assert "qmix_two_step.config.env_config" in output
    assert not list(Path.cwd().iterdir())


def test_an_example_and_a_file_are_two_experiments():
    code, output = rllib("example", "run", "qmix_two_step", "-f", "another.yaml")
    assert code == 2
    assert "give one experiment" in output


def test_a_file_comes_before_an_example(tmp_path):
    shipped = file_or_example(Path("qatten_3m"))
    assert shipped.parent.name == "tuned_examples"
    # Results are often kept in a folder with the experiment's name.
    Path("qatten_3m").mkdir()
    assert file_or_example(Path("qatten_3m")) == shipped
    Path("qmix_3s5z").write_text("mine")
    assert file_or_example(Path("qmix_3s5z")) == Path("qmix_3s5z")
    Path("qmix_3s5z.yaml").write_text("mine")
    assert file_or_example(Path("qmix_3s5z.yaml")) == Path("qmix_3s5z.yaml")


@pytest.mark.parametrize("given", ["tuned_examples/qatten_3m.yaml", "qatten_3m.yaml"])
def test_a_file_that_is_elsewhere_is_named(given):
    with pytest.raises(BadInput, match=f"{given}: no such file.* ending: qatten_3m$"):
        file_or_example(Path(given))


def test_a_file_without_its_ending_is_named():
    Path("mine.yaml").write_text("mine")
    with pytest.raises(BadInput, match=r"mine: no such file.* Did you mean 'mine.yaml'"):
        file_or_example(Path("mine"))


def test_an_installation_without_examples_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(examples, "FOLDERS", (tmp_path / "none",))
    with pytest.raises(BadInput, match="Unknown example: 'qatten_3m'"):
        examples.example("qatten_3m")


def test_naming_examples_needs_no_ray():
    code = (
        "import sys, rllib_qatten.__main__, rllib_qatten.commands.example as e;"
        "e.list_(); sys.exit('ray' in sys.modules or 'torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
