"""Code blocks of README and the pages: they are parsed, and name what exists."""

import ast
import importlib
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

import rllib_qatten
from benchmarks.parts import Part
from rllib_qatten.__main__ import app
from rllib_qatten.algorithms.resolve import algorithm_class
from rllib_qatten.commands.arguments import key_values
from rllib_qatten.experiment.checks import check
from rllib_qatten.experiment.examples import file_or_example
from rllib_qatten.experiment.experiment import Experiment
from rllib_qatten.experiment.file import Changes, of_words, read
from rllib_qatten.experiment.settings import check_kinds
from study.__main__ import app as study

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmarks" / "README.md"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: Files that pages tell their reader to make, and the placeholders of files that they have.
OWN_FILES = {"meeting.yaml", "FILE"}


def blocks(language):
    """(page and line, block) of every page."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for block in re.finditer(rf"^```{language}\n(.*?)^```", text, re.M | re.S):
            line = text[: block.start()].count("\n") + 1
            found.append(pytest.param(block[1], id=f"{page.name}:{line}"))
    return found


def words_of(block):
    """The commands of a block of bash, each as words, without what a shell does with them."""
    for line in block.replace("\\\n", " ").splitlines():
        if line.count("'") % 2 or line.count('"') % 2:
            continue  # begins or ends text of several lines
        words = shlex.split(line, comments=True)
        while words:
            end = next((i for i, w in enumerate(words) if w in ("&&", "||", "&", ";", "--")), None)
            command, words = words[:end], [] if end is None else words[end + 1 :]
            while command and re.match(r"\w+=|exec$|-?\$AGAIN$", command[0]):
                command = command[1:]
            if command:
                yield command


@pytest.mark.parametrize("block", blocks("bash"))
def test_a_command_line(block):
    assert subprocess.run(["bash", "-n"], input=block, text=True).returncode == 0
    for program, *words in words_of(block):
        known = COMMANDS.get(program)
        if known is not None:
            known(words)


def rllib(words):
    """Parses the words as the command does, and for `train` reads the experiment too."""
    words = [word for word in words if word != "$AGAIN"]
    command = typer.main.get_command(app)
    parent = command.make_context("rllib", list(words))
    name, command, rest = command.resolve_command(parent, words)
    if hasattr(command, "commands"):
        parent = command.make_context(name, list(rest), parent=parent)
        name, command, rest = command.resolve_command(parent, rest)
    given = command.make_context(name, list(rest), parent=parent).params
    if name == "train" and given["file"] and given["file"].name in OWN_FILES:
        return
    if name == "train" and ":" not in (given["run"] or ""):
        changes = Changes(
            stop=tuple(key_values(given["stop"] or (), "--stop")),
            set_=(
                *key_values([given["config"]] if given["config"] else (), "--config"),
                *(given["set_"] or ()),
            ),
            only=tuple(given["only"] or ()),
            **{key: given[key] for key in ("run", "env", "name")},
        )
        file = given["file"]
        for one in read(file_or_example(file), changes) if file else [of_words(changes)]:
            valid(one)


def valid(experiment):
    algorithm = algorithm_class(experiment.run)
    for config in experiment.variants():
        check_kinds(experiment, algorithm, config)
        if "init_from" in config:  # does that team fit?
            check(experiment)


def pip(words):
    extras = [one.split("[")[1] for one in words if re.match(r"(\.|rllib.qatten.*)\[", one)]
    for extra in extras:
        assert set(extra.rstrip("]").split(",")) <= PROJECT["optional-dependencies"].keys()


def python(words):
    if words[:2] == ["-m", "benchmarks"]:
        assert {word for word in words[2:] if not word.startswith("-")} <= {p.value for p in Part}
    if words[:2] == ["-m", "study"]:
        assert words[2] in typer.main.get_command(study).commands
    for word in words:
        assert not word.startswith("tests/") or (ROOT / word).exists(), word


COMMANDS = {"rllib": rllib, "pip": pip, "python": python, "pytest": python}


@pytest.mark.parametrize("block", [*blocks("python"), *blocks("text")])
def test_python(block, request):
    """Blocks of text may be Python that cannot run as it stands; then their imports still hold."""
    try:
        tree = ast.parse(block)
    except SyntaxError:
        assert "test_python[" in request.node.name
        assert "import rllib_qatten" not in block
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("rllib_qatten"):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names), node.names


@pytest.mark.parametrize("block", blocks("yaml"))
def test_yaml(block):
    content = yaml.safe_load(block)
    if content is None:
        return  # a comment for editors
    if "kind" in content:
        spec = content["spec"]
        if content["kind"] == "RayJob":
            bash, option, script = shlex.split(spec["entrypoint"])
            assert spec["rayClusterSpec"]["rayVersion"] in (ROOT / "docs/install.md").read_text()
        else:
            [container] = spec["template"]["spec"]["containers"]
            [(bash, option), [script]] = container["command"], container["args"]
        assert (bash, option) == ("bash", "-c")
        test_a_command_line(script)
        assert any(words[:2] == ["rllib", "train"] for words in words_of(script))
        return
    fields = Experiment.model_fields.keys() | {"env", "env_config", "team_reward"}
    [*names] = content
    named = len(names) == 1 and isinstance(content[names[0]], dict) and names[0] not in fields
    assert set(content[names[0]] if named else content) <= fields


def test_words_of_a_block():
    block = (
        "A=1 rllib doctor && pip install x # no\nray job submit -- rllib maps\nexec rllib envs\n"
    )
    assert [w[:2] for w in words_of(block)] == [
        ["rllib", "doctor"], ["pip", "install"], ["ray", "job"], ["rllib", "maps"],
        ["rllib", "envs"],
    ]  # fmt: skip


def test_a_wrong_command_line_is_found():
    for words in (["evaluate"], ["train", "--sett", "lr=1"]):
        with pytest.raises(Exception, match=r"Missing|No such option"):
            rllib(words)
    with pytest.raises(ValueError, match="lrr"):
        rllib(["train", "-f", "qatten_3m", "--set", "lrr=1"])


def test_the_reference_has_every_public_name():
    text = (ROOT / "docs" / "api.md").read_text()
    for name in set(rllib_qatten.__all__) - {"__version__"}:
        home = rllib_qatten._HOMES[name]
        shown = re.findall(rf"^::: (rllib_qatten\.[\w.]+)\.{name}$", text, re.M)
        assert shown, f"docs/api.md lacks ::: {home}.{name}"
    for module, name in re.findall(r"^::: ([\w.]+)\.(\w+)$", text, re.M):
        assert hasattr(importlib.import_module(module), name), (module, name)
