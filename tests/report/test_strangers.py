"""Runs of somebody else: a bad one costs only itself, and nothing of theirs is markup or script."""

import base64
import csv
import hashlib
import json
import os
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from typer.testing import CliRunner

from rllib_qatten import keys
from rllib_qatten.__main__ import app
from rllib_qatten.errors import BadInput
from rllib_qatten.report import marl_eval
from rllib_qatten.report.runs import read_all
from rllib_qatten.report.tables import TABLE_LIMIT
from tests.report.reported import rows, write_run
from tests.strangers import VALUES, drop, places, put

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)> \x1b[31m\u202e style="color:red"'


def report(*words):
    return CliRunner().invoke(app, ["report", *map(str, words)])


def nested():
    """Two results as result.json has them."""
    return [
        {
            "training_iteration": i,
            keys.STEPS: 100 * i,
            "engine": "python",
            "time_this_iter_s": 1.5,
            "timers": {"env_runner_sampling_timer": 0.1},
            "evaluation": {"env_runners": {"episode_return_mean": 7.5 + i, "win_rate": 0.5}},
            "config": {"env": "smac"},
        }
        for i in (1, 2)
    ]


def write(folder, results, params=b"{}", name="Qatten_smac_1"):
    trial = folder / name
    trial.mkdir(parents=True)
    if not isinstance(results, bytes):
        results = "".join(json.dumps(row) + "\n" for row in results).encode()
    (trial / "result.json").write_bytes(results)
    (trial / "params.json").write_bytes(params)
    return trial


def all_texts(run):
    return (run.label, run.environment, run.task, run.name, *run.about.values())


def test_any_value_in_any_place_of_results_and_settings(tmp_path):
    """Hundreds of runs, each with one value of somebody's making: read, or left out by a line."""
    params = {"env": "smac", "env_config": {"map_name": "3m"}, "seed": 1}
    number = 0
    for value in VALUES:
        for place in places(nested()[0]):
            results = nested()
            put(results[1], place, value)
            write(tmp_path, results, name=f"Qatten_smac_{(number := number + 1)}")
        for place in places(params):
            settings = json.loads(json.dumps(params))
            put(settings, place, value)
            content = json.dumps(settings).encode()
            write(tmp_path, nested(), content, f"Qatten_smac_{(number := number + 1)}")
    for place in places(nested()[0]):
        results = nested()
        drop(results[1], place)
        write(tmp_path, results, name=f"Qatten_smac_{(number := number + 1)}")
    assert number > 400
    runs, _ = read_all([tmp_path])
    assert len(runs) > 0.9 * number
    for run in runs:
        assert all(text.isprintable() and len(text) < 600 for text in all_texts(run))
        assert (np.diff(run.steps) >= 0).all()
        assert (run.steps >= 0).all()
        for column in (run.steps, *run.scores.values(), *run.columns.values()):
            assert (np.abs(column[np.isfinite(column)]) <= 1e18).all()
            assert not np.isinf(column).any()
    json.dumps(marl_eval.layout(runs), allow_nan=False)


def test_numbers_beyond_all_measure_are_named_once(tmp_path):
    results = nested()
    for row in results:
        row["gradient_norm"] = 1e30
        row["a"] = row["b"] = row["c"] = 10**400
        row["trial_id"] = "6e260_00000"  # one of Tune's, which Python takes for a number
    write(tmp_path, results)
    [run], warnings = read_all([tmp_path])
    assert "gradient_norm" not in run.columns
    [said] = warnings
    assert said.endswith("numbers beyond 1e+18 are left out: a, b, c and 1 more.")


BROKEN = {
    "empty": b"",
    "binary": b"\xff\xfe\0" * 1000,
    "deep": b"[" * 100_000 + b"]" * 100_000 + b"\n",
    "deep object": b'{"a":' * 100_000 + b"\n",
    "digits": b'{"training_iteration": ' + b"9" * 5000 + b"}\n",
    "a list": b"[1, 2]\n" * 10,
    "no lines": b'{"a": 1}' * 1000,
    "lines": b"\n" * 100_000,
    "nulls": b"\0" * 10_000,
    "carriage returns": b'{"a": 1}\r' * 100,
    "columns": b"".join(
        json.dumps({f"a{i}_{j}": 1 for j in range(1000)}).encode() + b"\n" for i in range(30)
    ),
}


FILES = ["result.json", "progress.csv", "params.json", keys.COMMAND_FILE, keys.RECORD_FILE]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", [*BROKEN, "folder", "zeros", "pipe", "loop", "huge", "outside"])
def test_any_file_of_a_run_may_be_anything(tmp_path, name, kind):
    """The other run is reported, whatever becomes of this one."""
    secret = tmp_path / "secret"
    secret.write_text('{"secret": "word"}\n')
    trial = write_run(tmp_path / "runs" / "bad", rows=rows([0.5]))
    (trial / "result.json").write_text("".join(json.dumps(row) + "\n" for row in nested()))
    file = trial / name
    file.unlink(missing_ok=True)
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "huge":
        with open(file, "wb") as opened:
            opened.truncate(TABLE_LIMIT + 2**40)  # takes no room on the disk
    elif kind in ("zeros", "loop", "outside"):
        file.symlink_to({"zeros": "/dev/zero", "loop": file, "outside": secret}[kind])
    else:
        file.write_bytes(BROKEN[kind])
    (trial / "around").symlink_to(trial)
    write_run(tmp_path / "runs" / "good", seed=2, rows=rows([0.5]))
    runs, _ = read_all([tmp_path / "runs"])
    assert [run.name for run in runs if run.folder.parent.name == "good"] == ["seed 2"]
    assert "word" not in str(runs)
    if kind == "huge" and name == "result.json":
        [bad] = [run for run in runs if run.folder.parent.name == "bad"]
        assert bad.scores["win_rate"].tolist() == [0.5]  # of progress.csv


def test_tables_with_odd_csv(tmp_path):
    trial = write_run(tmp_path, rows=rows([0.1, 0.2, 0.3]))
    file = trial / "progress.csv"
    head, *lines = file.read_text().splitlines()
    long = "x" * (csv.field_size_limit() + 10)
    file.write_text("\n".join([head, long, *lines[:2], '"', ",".join("1" * 5), ""]))
    [run], warnings = read_all([tmp_path])
    assert run.scores["win_rate"].tolist() == [0.1, 0.2]
    assert "broken lines were skipped" in " ".join(warnings)


class Elements(HTMLParser):
    """Tags and attributes of a page, and the text of its elements for style and script."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.inline, self.now = [], [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        data = ("type", "application/json") in attributes
        self.now = tag if tag in ("style", "script") and not data else None
        if self.now:
            self.inline.append((tag, ""))

    def handle_endtag(self, tag):
        self.now = None

    def handle_data(self, data):
        if self.now:
            self.inline[-1] = (self.now, self.inline[-1][1] + data)


def assert_policy_holds(page):
    """The page's policy allows its one style and its one script, and needs no more."""
    elements = Elements(page)
    [policy] = [v for k, v in elements.attributes if k == "content" and "default-src" in v]
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == ["'none'"]
    assert rules["img-src"] == ["data:"]
    for kind in ("style", "script"):
        found = [text for tag, text in elements.inline if tag == kind]
        sums = [base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in found]
        assert rules[f"{kind}-src"] == ([f"'sha256-{s}'" for s in sums] or ["'none'"])
        assert len(found) <= 1
    # What the policy would not let work: attributes of style and of events.
    assert not [k for k, _ in elements.attributes if k == "style" or k.startswith("on")]
    assert "img" not in elements.tags
    return elements


def test_whatever_comes_from_files_is_text_in_the_page(tmp_path):
    """All texts of a run at once, each with its own end of an element, beside other runs."""
    params = json.dumps(
        {"env": EVIL, "env_config": {"map_name": f"map {EVIL}"}, "seed": EVIL, f"key {EVIL}": EVIL}
    ).encode()
    results = nested()
    for row in results:
        row["engine"] = f"engine {EVIL}"
    name = "<b onclick=x>_smac_1"
    trial = write(tmp_path / "runs" / "<i>$\\frac{1$", results, params, name)
    (trial / keys.COMMAND_FILE).write_text(f"rllib {EVIL}")
    made = {"date": EVIL, "commit": [EVIL], "machine": {EVIL: EVIL}, "versions": {EVIL: {EVIL: 1}}}
    (trial / keys.RECORD_FILE).write_text(json.dumps(made))
    (trial / "checkpoint_000001").mkdir()
    versions = json.dumps({"ray_version": EVIL, "rllib_qatten_version": EVIL})
    (trial / "checkpoint_000001" / "rllib_checkpoint.json").write_text(versions)
    for i, task in enumerate(
        ("$\\frac{1$ %s {x} {{ 7 * 7 }}" + "x" * 3000, "\0\ud800", "a b", "a_b")
    ):
        params = json.dumps({"env": "smac", "env_config": {"map_name": task}}).encode()
        write(tmp_path / "runs", nested(), params, f"Qatten_smac_{i}")
    out = tmp_path / "out"
    result = report(tmp_path / "runs", "-o", out, "--json", tmp_path / "all.json")
    assert result.exit_code == 0, result.output
    assert not {"\x1b", "\u202e"} & set(result.output)
    page = (out / "report.html").read_text()
    elements = assert_policy_holds(page)
    assert not {"script", "b", "i"} & set(elements.tags)
    assert "alert(1)" in page
    assert "{{ 7 * 7 }}" in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", page)
    ids = [value for key, value in elements.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    # "a b" and "a_b" are two tasks, and two figures.
    assert len(list(out.glob("return_a_b*.png"))) == 2
    for file in out.glob("*.svg"):
        assert "<script" not in file.read_text()


def test_a_link_out_of_the_folder_is_not_shown(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("a secret word")
    trial = write_run(tmp_path / "runs", rows=rows([0.5]))
    (trial / keys.COMMAND_FILE).symlink_to(secret)
    [run], _ = read_all([tmp_path / "runs"])
    assert run.about["command"] == "not recorded; experiment runs"


def test_no_run_of_many_is_any_good(tmp_path):
    for i, content in enumerate(BROKEN.values()):
        write(tmp_path, content, content, f"Qatten_smac_{i}")
    with pytest.raises(BadInput) as raised:
        read_all([tmp_path])
    assert len(str(raised.value).splitlines()) > len(BROKEN)
    result = report(tmp_path)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.skipif(sys.platform == "win32", reason="names of files are Unicode there")
def test_a_folder_whose_name_is_no_text(tmp_path):
    folder = os.fsencode(tmp_path / "runs") + b"/\xff\x1b"
    os.makedirs(folder)
    write(tmp_path / "runs" / os.fsdecode(b"\xff\x1b"), nested())
    result = report(tmp_path / "runs", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
