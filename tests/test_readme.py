"""README and the pages stay true: files exist, keys are the promised ones, examples are valid."""

import re
from pathlib import Path

import pytest

from rllib_qatten import keys
from rllib_qatten.experiment.file import read

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_it_names_exist(page):
    text = page.read_text()
    for name in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / name).exists(), name
    for name in re.findall(r"tuned_examples/[\w/]+\.\w+", text):
        assert (ROOT / name).exists(), name


def test_every_example_is_listed():
    listed = set(re.findall(r"`(\w+\.yaml)`", (ROOT / "docs" / "experiments.md").read_text()))
    assert listed == {path.name for path in (ROOT / "tuned_examples").glob("*.yaml")}


def test_the_front_door_is_short():
    assert len(TEXT.splitlines()) <= 160


def test_the_table_has_the_promised_keys():
    text = (ROOT / "docs" / "result_keys.md").read_text()
    table = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", text, re.M))
    assert {k: v for k, v in table.items() if k in keys.KEYS} == keys.KEYS


def test_nothing_was_left_to_fill_in():
    assert not re.search(r"ROWS3M|THREEM|TODO|FIXME", TEXT)
    for path in (ROOT / "tuned_examples").glob("*.yaml"):
        assert "# SEEN" not in path.read_text(), path


def test_two_commands():
    for mark, ends in (
        ("main", "rllib train -f tuned_examples/qatten_3s5z.yaml"),
        ("test", "pytest -n 2 --dist loadfile"),
    ):
        command = re.search(rf"<!-- {mark} command -->\n```bash\n(.+)\n```", TEXT)
        assert command[1].endswith(ends)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tuned_examples").glob("*.yaml")), ids=lambda p: p.name
)
def test_examples_are_valid_and_commented(path):
    experiments = read(path)
    if len(experiments) == 1:
        assert experiments[0].name == path.stem
    for experiment in experiments:
        assert experiment.name.startswith(path.stem)
        assert experiment.run
        assert experiment.env
        assert experiment.stop
        assert experiment.config
    assert f"rllib train -f tuned_examples/{path.name}" in path.read_text()
    body = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    bare = [
        line
        for line in body[1:]
        if line.strip()
        and not line.rstrip().endswith(":")
        and "#" not in line
        and "checkpoint_at_end" not in line
    ]
    assert not bare
