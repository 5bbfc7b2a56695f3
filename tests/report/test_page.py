"""`rllib report`: the page shows what the files say, and needs nothing but itself."""

import csv
import json
import re
import sys
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from rllib_qatten import keys
from rllib_qatten.__main__ import app
from rllib_qatten.report import number_files
from tests.report.reported import kept, rows, write_run

FIGURES = ("win_rate_3s5z", "return_3s5z", "win_rate_2s3z", "return_2s3z",
           "probability_of_improvement", "throughput", "time_split")  # fmt: skip


class Tables(HTMLParser):
    """The cells of all tables, and every attribute of the page."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.attributes, self.tags, self.cell = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self.cell = tag in ("td", "th")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif self.cell:
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        self.cell = self.cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self.cell:
            self.tables[-1][-1][-1] += data


def report(*words):
    return CliRunner().invoke(app, ["report", *map(str, words)])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The report of the kept curves: three algorithms on 3s5z, one on 2s3z."""
    folder = tmp_path_factory.mktemp("made")
    for algorithm, task, seed in (("Qatten", "3s5z", 1), ("Qatten", "3s5z", 2), ("QMIX", "3s5z", 1),
                                  ("VDN", "3s5z", 1), ("Qatten", "2s3z", 1)):  # fmt: skip
        write_run(folder / "runs", algorithm, task, seed)
    (folder / "empty").mkdir()
    result = report(folder / "runs", folder / "empty", "-o", folder / "out",
                    "--json", folder / "out" / "all.json")  # fmt: skip
    assert result.exit_code == 0, result.output
    return folder, result.output


@pytest.fixture(scope="module")
def page(made):
    return (made[0] / "out" / "report.html").read_text()


def test_it_says_what_it_wrote_and_what_it_left_out(made, page):
    folder, output = made
    assert f"Wrote {folder}/out/report.html" in output
    warning = f"{folder}/empty: no run in it: there is no progress.csv or result.json in or below"
    assert warning in output
    assert warning in page
    numbers = json.loads((folder / "out" / "all.json").read_text())
    assert numbers["smax (jaxmarl 0.2.0)"].keys() == {"3s5z", "2s3z"}


def last_five(key, *names):
    values = [float(row[key]) for row in kept(*names)][-5:]
    return sum(values) / 5


def test_final_numbers_are_those_of_the_files(page):
    final, each = Tables(page).tables
    lines = {(row[0], row[1]): row for row in final[1:]}
    assert len(lines) == 4
    for (task, algorithm), row in lines.items():
        seeds = (1, 2) if (task, algorithm) == ("3s5z", "Qatten") else (1,)
        assert row[8] == str(len(seeds))
        for key, at in ((keys.GREEDY_WINS, 2), (keys.GREEDY_RETURN, 5)):
            finals = sorted(last_five(key, algorithm, task, seed) for seed in seeds)
            assert float(row[at]) == pytest.approx(sum(finals) / len(finals), abs=0.0051)
            assert row[at + 1] == "-"  # one run or two
            shown = list(map(float, row[at + 2].split(", ")))
            assert shown == pytest.approx(finals, abs=0.0051)
    on_3s5z = [float(row[2]) for row in final[1:] if row[0] == "3s5z"]
    assert on_3s5z == sorted(on_3s5z, reverse=True)
    assert len(each) == 1 + 5
    [vdn] = [row for row in each if row[1] == "VDN"]
    last = kept("VDN", "3s5z")[-1]
    assert float(vdn[3]) == pytest.approx(last_five(keys.GREEDY_WINS, "VDN", "3s5z"), abs=6e-4)
    assert vdn[5] == f"{int(float(last[keys.STEPS])):,}"
    assert vdn[7] == f"{float(last['time_total_s']) / 60:.1f} min"
    assert vdn[9] == vdn[11] == "not recorded"
    assert vdn[12] == "not recorded; experiment runs"


def test_tables_are_files_for_programs_notes_and_papers(made, page):
    out = made[0] / "out"
    final, _ = Tables(page).tables
    with open(out / "final_numbers.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["algorithm"] for row in rows] == [row[1] for row in final[1:]]
    best = last_five(keys.GREEDY_WINS, "Qatten", "2s3z")
    [found] = [row for row in rows if row["task"] == "2s3z"]
    assert float(found["win_rate"]) == pytest.approx(best)
    assert found["win_rate_low"] == found["win_rate_interval"] == ""
    lines = (out / "final_numbers.md").read_text().splitlines()
    assert lines[0].startswith("| task | algorithm | win rate | 95 % interval |")
    assert len(lines) == 2 + len(rows)
    latex = (out / "final_numbers.tex").read_text()
    assert latex.count(r"\\") == 1 + len(rows)
    assert r"95 \% interval" in latex
    assert {file.name for file in out.glob("runs.*")} == {"runs.csv", "runs.md", "runs.tex"}


def test_characters_that_latex_and_markdown_would_read_are_text(tmp_path):
    odd = r"[a]_b & 5% of $x^2$ {#1} ~ \end | *c* --set 'd' <e> `f`"
    number_files.write(tmp_path, "t", number_files.Table(["x"], [[odd]], range(0), [{"x": odd}]))
    escaped = (
        r"{[}a]\_b \& 5\% of \$x\textasciicircum{}2\$ \{\#1\} \textasciitilde{} "
        r"\textbackslash{}end \textbar{} {*}c{*} -{}-set \textquotesingle{}d\textquotesingle{} "
        r"\textless{}e\textgreater{} \textasciigrave{}f\textasciigrave{}"
    )
    assert escaped in (tmp_path / "t.tex").read_text()
    escaped = r"\[a\]\_b & 5% of $x^2$ \{\#1\} ~ \\end \| \*c\* --set 'd' \<e\> \`f\`"
    assert escaped in (tmp_path / "t.md").read_text()


def test_every_figure_is_in_the_page_and_beside_it(made, page):
    assert sorted(re.findall(r'<figure id="(\w+)"', page)) == sorted(FIGURES)
    for name in FIGURES:
        assert (made[0] / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in (made[0] / "out" / f"{name}.svg").read_text()
        pdf = (made[0] / "out" / f"{name}.pdf").read_bytes()
        assert pdf.startswith(b"%PDF")
        assert b"/TrueType" in pdf or b"/CIDFontType2" in pdf
        assert b"/Type3" not in pdf
    assert page.count("<svg") == len(FIGURES)
    for text in ("environment steps", "greedy win rate", "Qatten", "QMIX", "VDN"):
        assert text in page


def test_the_best_comes_first_everywhere(page):
    final, _ = Tables(page).tables
    ranked = [row[1] for row in final[1:] if row[0] == "3s5z"]
    for name in ("win_rate_3s5z", "probability_of_improvement", "throughput"):
        figure = re.search(rf'<figure id="{name}".*?</figure>', page, re.DOTALL)[0]
        shown = [text for text in re.findall(r"<text[^>]*>\s*([^<]+?)\s*</text>", figure)
                 if text in ranked]  # fmt: skip
        assert list(dict.fromkeys(shown)) == ranked, name


@pytest.fixture(scope="module")
def of_many(tmp_path_factory):
    """The report of seven runs of two algorithms on one task, by their medians."""
    folder = tmp_path_factory.mktemp("many")
    for seed, win in enumerate([0.0, 0.3, 0.4, 0.5, 0.5, 1.0, 1.0]):
        for algorithm, share in (("Qatten", 1), ("VDN", 0.5)):
            write_run(folder / algorithm, algorithm, seed=seed, rows=rows([share * win]))
    result = report(folder, "-o", folder / "out", "--aggregate", "median")
    assert result.exit_code == 0, result.output
    return folder / "out"


def test_a_profile_is_drawn_of_more_runs_than_the_table_lists(of_many):
    assert (of_many / "performance_profile.svg").exists()
    assert not (of_many / "sample_efficiency.svg").exists()  # of one task


def test_the_median_is_an_option(of_many):
    _, *found = Tables((of_many / "report.html").read_text()).tables[0]
    # The interquartile means are 0.540 and 0.270.
    assert [row[2] for row in found[:2]] == ["0.500", "0.250"]


def test_it_counts_what_is_read_and_drawn(tmp_path):
    page = pytest.importorskip("rllib_qatten.report.page", reason="no extra report")
    write_run(tmp_path / "runs", rows=rows([0.5, 0.6]))
    counted = {}

    def counting(text, total, unit):
        counted[text, unit] = [total, 0]

        def advance(more):
            counted[text, unit][1] += more

        return advance

    page.write([tmp_path / "runs"], tmp_path / "out", "iqm", None, counting)
    assert counted[("reading", "runs")] == [1, 1]
    total, drawn = counted[("drawing", "figures")]
    assert drawn == len(list((tmp_path / "out").glob("*.svg"))) <= total


def test_it_needs_nothing_but_itself(page):
    tables = Tables(page)
    for name, value in tables.attributes:
        if name in ("src", "href", "xlink:href", "data", "srcset"):
            assert value.startswith(("#", "data:")), (name, value)
    assert not {"script", "link", "iframe", "object", "img"} & set(tables.tags)
    assert not re.search(r"@import|url\((?!#)", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for target in re.findall(r'(?:href="#|url\(#)([^")]+)', page):
        assert target in ids


def test_games_that_explore_are_not_called_the_best_that_a_team_plays(tmp_path):
    config = {"evaluation_config": {"explore": True}}
    write_run(tmp_path / "runs", "Any", rows=rows([0.5, 0.6]), config=config)
    result = report(tmp_path / "runs", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out" / "report.html").read_text()
    assert "greedy" not in page
    assert "The evaluations of Any explored, or may have" in page


def test_numbers_in_names_are_explained(tmp_path):
    for i in (1, 2):
        config = {"env": "my:Env", "env_config": {"weights": [i] * 40}}
        write_run(tmp_path / "runs" / str(i), rows=rows([0.5]), config=config)
    result = report(tmp_path / "runs", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"my:Env (#1): weights {[1] * 40}." in page
    assert f"my:Env (#2): weights {[2] * 40}." in page


def test_text_takes_the_pages_colors(page):
    assert "prefers-color-scheme: dark" in page
    assert "currentColor" in page
    assert "#1f2328" not in page.split("</style>", 1)[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("missing",), "missing: no such folder"),
        (("missing", "--aggregate", "mean"), "Unknown aggregate: 'mean'.* Accepted: iqm, median"),
        (("runs", "-o", "file"), "file: cannot be created: File exists"),
        (("runs", "--json", "no/runs.json"), "runs.json: cannot be written"),
        (("runs", "--json", "report/no/runs.json"), "runs.json: cannot be written"),
    ],
)
def test_bad_input_ends_with_2_and_leaves_nothing(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs", rows=rows([0.5]))
    (tmp_path / "file").write_text("")
    result = report(*words)
    assert result.exit_code == 2, result.output
    assert re.search(message, result.output)
    assert not (tmp_path / "report").exists()


def test_a_users_own_folder_report_is_not_written_into(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs", rows=rows([0.5]))
    thesis = tmp_path / "report" / "runs.csv"
    thesis.parent.mkdir()
    thesis.write_text("mine")
    result = report("runs")
    assert result.exit_code == 2, result.output
    assert "report: there is a folder of this name, and no report.html in it" in result.output
    assert [*thesis.parent.iterdir()] == [thesis]
    assert thesis.read_text() == "mine"


def test_a_missing_package_is_named_with_its_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "rllib_qatten.report.page", raising=False)
    monkeypatch.delitem(sys.modules, "rllib_qatten.drawing.style", raising=False)
    monkeypatch.delitem(sys.modules, "rllib_qatten.report.figures", raising=False)
    result = report(tmp_path)
    assert result.exit_code == 2
    assert "pip install 'rllib-qatten[report]'" in result.output
