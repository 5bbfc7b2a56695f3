"""The pages in a real browser: all is seen, on every screen, with nothing but the file itself."""

import numpy as np
import pytest

from rllib_qatten.drawing.palette import DARK, LIGHT
from rllib_qatten.envs.battles.battle import Battle
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.evaluation.mixer_weights import WeighedGame, Weights
from tests.evaluation.browser import look
from tests.report.reported import write_run
from tests.training.test_batch import make_episode

pytestmark = pytest.mark.slow
SCREENS = pytest.mark.parametrize(
    ("width", "dark"), [(400, False), (400, True), (1600, False), (1600, True)]
)
#: What both pages have in common.
LOOKS = """
  const ground = view.getComputedStyle(page.body).backgroundColor;
  const ink = view.getComputedStyle(page.body).color;
  const sideways = page.documentElement.scrollWidth - view.innerWidth;
  const resources = view.performance.getEntriesByType("resource").map(entry => entry.name);
"""


def rgb(color):
    return "rgb({}, {}, {})".format(*(int(color[i : i + 2], 16) for i in (1, 3, 5)))


def check(seen, file, dark):
    """Nothing is logged or asked for, nothing is cut off, and the theme is the reader's."""
    assert seen.console == []
    assert seen.asked == {"/harness", f"/{file.name}"}
    assert "error" not in seen.found, seen.found
    assert seen.found["resources"] == []
    theme = DARK if dark else LIGHT
    assert (seen.found["ground"], seen.found["ink"]) == (rgb(theme["ground"]), rgb(theme["ink"]))
    assert seen.found["sideways"] <= 0


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    pages = pytest.importorskip("rllib_qatten.report.page", reason="no extra report")
    folder = tmp_path_factory.mktemp("report")
    for algorithm, task, seed in (("Qatten", "3s5z", 1), ("Qatten", "3s5z", 2), ("QMIX", "3s5z", 1),
                                  ("VDN", "3s5z", 1), ("Qatten", "2s3z", 1)):  # fmt: skip
        write_run(folder / "runs", algorithm, task, seed)
    return pages.write([folder / "runs"], folder / "out", "iqm", None)[1]


@SCREENS
def test_the_report(report, tmp_path, width, dark):
    script = (
        LOOKS
        + """
  const figures = [...page.querySelectorAll("figure")].map(figure => {
    const svg = figure.querySelector("svg"), box = svg.getBoundingClientRect();
    const text = [...svg.querySelectorAll("text")];
    return {name: figure.id, width: box.width, height: box.height, right: box.right,
            texts: text.length, inks: text.every(t => view.getComputedStyle(t).fill !== "none")};
  });
  const tables = [...page.querySelectorAll(".scroll")];
  const wide = tables.every(box => box.clientWidth <= view.innerWidth);
  return {ground, ink, sideways, resources, figures, wide};
"""
    )
    seen = look(report, script, width=width, dark=dark, profile=tmp_path)
    check(seen, report, dark)
    figures = {figure["name"]: figure for figure in seen.found["figures"]}
    assert figures.keys() >= {"win_rate_3s5z", "return_2s3z", "probability_of_improvement"}
    assert len(figures) == 7
    for figure in figures.values():
        assert figure["width"] > 0.6 * min(width, 400), figure
        assert figure["height"] > 60, figure
        assert figure["right"] <= width, figure
        assert figure["texts"] > 5
        assert figure["inks"], figure
    assert seen.found["wide"]


@pytest.fixture(scope="module")
def game():
    """A made-up battle of 3 against 2, of 12 steps, in which ally 1 and an enemy die."""
    rng = np.random.default_rng(0)
    t, h, n, v = 12, 2, 3, 5
    attention = rng.dirichlet(np.ones(n), (t, h)).astype(np.float32)
    head_weights = rng.random((t, h), np.float32) + 0.5
    health = np.linspace(1, 0.4, t + 1)[:, None].repeat(v, 1)
    health[7:, 1] = health[9:, 4] = 0
    episode = make_episode(rng, t)
    episode.alive = health[:, :n] > 0
    episode.actions = rng.integers(0, 4, (t, n))
    agents = tuple(f"ally_{i}" for i in range(n))
    spec = TeamSpec(agents, 7, 3, 5, is_battle=True, engine="smax (made up)")
    battle = Battle(
        health=health,
        positions=rng.random((v, 2)) * 0.3 + 0.3 + np.cumsum(rng.normal(0, 0.01, (t + 1, v, 2)), 0),
        shoots=rng.random((t + 1, v)) < 0.4,
        targets=np.column_stack([rng.integers(3, 5, (t, n)), rng.integers(0, 3, (t, 2))]),
        types=("stalker",) * 2 + ("zealot",) * 3,
        radii=np.full(v, 0.02),
        causes=("", "edge", "", "", "shot"),
        edge_kills=True,
        step_seconds=0.2,
    )
    weights = Weights(
        q_tot=rng.random(t),
        utilities=rng.random((t, n)),
        effective_weights=np.einsum("th,thn->tn", head_weights, attention),
        attention=attention,
        head_weights=head_weights,
    )
    return WeighedGame("A made-up <battle>", spec, episode, weights, battle)


@SCREENS
def test_the_slider_moves_battle_and_heat_maps_together(game, tmp_path, width, dark):
    pages = pytest.importorskip("rllib_qatten.drawing.battle_page", reason="no extra report")
    pages.write(game, tmp_path / "game_1.html")
    script = (
        LOOKS
        + """
  const canvases = [...page.querySelectorAll("canvas:not(#scale)")];
  const pictures = () => canvases.map(canvas => canvas.toDataURL());
  const states = [];
  const at = step => {
    $("step").value = step;
    $("step").dispatchEvent(new view.Event("input"));
    states.push({where: $("where").textContent, pictures: pictures()});
  };
  [0, 5, 12, 5].forEach(at);
  const boxes = canvases.map(canvas => canvas.getBoundingClientRect());
  $("play").click();
  await new Promise(resolve => view.setTimeout(resolve, 3000));
  const played = $("where").textContent;
  const sides = ["team-text", "enemies-text"].map(id => $(id).textContent);
  at(5);
  $("rings").value = "";
  $("rings").dispatchEvent(new view.Event("change"));
  const place = {clientX: boxes[1].x + 60, clientY: boxes[1].y + 40};
  canvases[1].dispatchEvent(new view.MouseEvent("mousemove", place));
  return {ground, ink, sideways, resources,
    names: [...page.querySelectorAll("h2")].map(h => h.textContent),
    title: page.querySelector("h1").textContent, played, sides,
    key: page.querySelector(".key").innerText,
    where: states.slice(0, 4).map(s => s.where),
    changed: canvases.map((_, k) => states[0].pictures[k] !== states[1].pictures[k]),
    ended: canvases.map((_, k) => states[1].pictures[k] !== states[2].pictures[k]),
    back: canvases.map((_, k) => states[1].pictures[k] === states[3].pictures[k]),
    rings: pictures()[0] !== states[3].pictures[0],
    readout: $("readout").textContent,
    boxes: boxes.map(b => [b.width, b.height, b.right])};
"""
    )
    seen = look(tmp_path / "game_1.html", script, width=width, dark=dark, profile=tmp_path / "p")
    check(seen, tmp_path / "game_1.html", dark)
    found = seen.found
    assert found["title"] == "A made-up <battle>"
    assert found["names"] == [
        "attention of head 0", "attention of head 1", "effective weight dQ_tot/dQ_i",
        "health", "head weights", "entropy of attention (nats)", "Q_tot", "reward",
    ]  # fmt: skip
    assert found["where"] == [
        f"step {t} of 12 ({0.2 * t:.1f} s), {alive} of 3 alive"
        for t, alive in ((0, 3), (5, 3), (12, 2), (5, 3))
    ]
    assert found["played"] == "step 12 of 12 (2.4 s), 2 of 3 alive"
    assert found["sides"] == ["team: 2 of 3 alive, 27% health", "enemies: 1 of 2 alive, 20% health"]
    assert "kills units that touch it" in found["key"]
    assert len(found["changed"]) == 1 + 8
    assert all(found["changed"] + found["ended"] + found["back"])
    assert found["rings"]
    assert "step " in found["readout"]
    for wide, high, right in found["boxes"]:
        assert wide > 150
        assert high > 120
        assert right <= width


def test_what_is_wrong_would_be_seen(tmp_path):
    """A script's error, a file from elsewhere and one from here, and a page that is too wide."""
    file = tmp_path / "bad.html"
    file.write_text(
        "<div style='width: 900px'>x</div><img src='https://example.com/a.png'>"
        "<img src='beside.png'><script>missing()</script>"
    )
    seen = look(file, LOOKS + "return {sideways, resources};", width=400, profile=tmp_path / "p")
    assert seen.found["sideways"] >= 500
    assert "/beside.png" in seen.asked
    assert any("missing is not defined" in line for line in seen.console)
    assert "https://example.com/a.png" in seen.found["resources"]
