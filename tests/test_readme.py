"""README stays true: its files exist, its keys are the promised ones, its Python runs."""

import re
from pathlib import Path

import pytest

from rllib_qatten import keys
from rllib_qatten.experiment.file import read

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def test_files_it_names_exist():
    linked = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    named = re.findall(r"(?:-f |`)((?:tuned_examples/)?[\w/]+\.yaml)", TEXT)
    assert linked
    assert named
    for name in linked:
        assert (ROOT / name).exists(), name
    for name in named:
        assert (ROOT / "tuned_examples" / Path(name).name).exists(), name


def test_its_table_has_the_promised_keys():
    table = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", TEXT.split("## Results' keys")[1], re.M))
    assert {k: v for k, v in table.items() if k in keys.KEYS} == keys.KEYS


def test_nothing_was_left_to_fill_in():
    assert not re.search(r"ROWS3M|THREEM|TODO|FIXME", TEXT)
    for path in (ROOT / "tuned_examples").glob("*.yaml"):
        assert "# SEEN" not in path.read_text(), path


def test_two_commands():
    for mark, ends in (
        ("main", "rllib train -f tuned_examples/qatten_3s5z.yaml"),
        ("test", "pytest"),
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
