"""The documentation as a site: built strictly, whole, and readable without network and server."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: What a reader looks for, and the page that has it.
SOUGHT = {
    "add a mixer": "extending.html",
    "bring my environment": "your_own_env.html",
    "use a GPU": "gpu.html",
    "run on a cluster": "scale.html",
    "cite it": "cite.html",
}


class Page(HTMLParser):
    """The addresses of a page: those that a reader follows, and those that a browser loads."""

    def __init__(self, file):
        super().__init__()
        self.links, self.loaded = set(), set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "a" and found.get("href"):
            self.links.add(found["href"])
        elif tag == "link" and found.get("rel") not in ("prev", "next", "canonical"):
            self.loaded.add(found.get("href"))
        elif found.get("src") and not found["src"].startswith("data:"):
            self.loaded.add(found["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built with every warning an error: links, anchors and pages outside the menu."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT, capture_output=True, text=True, timeout=200,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_there_and_loads_nothing_from_elsewhere(site):
    sources = {page.stem for page in ROOT.glob("docs/*.md")}
    pages = {page.stem: Page(page) for page in site.glob("*.html")}
    assert pages.keys() == sources | {"404"}
    for name, page in pages.items():
        remote = {address for address in page.loaded if re.match(r"(\w+:)?//", address)}
        assert not remote, name
        missing = {
            a for a in page.loaded if name != "404" and not (site / a.split("?")[0]).exists()
        }
        assert not missing, name


@pytest.mark.parametrize("sought", SOUGHT)
def test_two_clicks_lead_there(site, sought):
    start = Page(site / "index.html")
    second = set().union(*(Page(site / a).links for a in start.links if (site / a).is_file()))
    assert SOUGHT[sought] in {link.split("#")[0] for link in start.links | second}
    assert f"| {sought}" in (ROOT / "docs" / "index.md").read_text()


def test_equations_and_docstrings_are_rendered(site):
    theory = (site / "theory.html").read_text()
    assert theory.count("<math ") == (ROOT / "docs" / "theory.md").read_text().count("```math")
    assert "\\" not in "".join(re.findall(r"<math .*?</math>", theory, re.DOTALL))
    assert "Gradient updates per game" in (site / "api.html").read_text()


def test_search_works_in_pages_opened_as_files(site, tmp_path):
    index = json.loads((site / "search" / "search_index.json").read_text())
    assert len({entry["location"].split("#")[0] for entry in index["docs"]}) > 20
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if not browser:
        pytest.skip("no Chromium on this machine")
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *("--virtual-time-budget=10000", f"--user-data-dir={tmp_path}"),
            f"file://{site}/index.html?q=preempted",
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    results = re.findall(r'<a href="([^"]*)" class="md-search-result__link"', done.stdout)
    assert any("preemption.html" in result for result in results), results
