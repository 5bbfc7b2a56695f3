"""Pages let nothing but their own parts work."""

import json
import re

import numpy as np
import pytest

from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.evaluation.mixer_weights import WeighedGame, Weights
from tests.report.test_strangers import EVIL, assert_policy_holds
from tests.training.test_batch import make_episode

pages = pytest.importorskip("rllib_qatten.drawing.battle_page", reason="no extra report")
figures = pytest.importorskip("rllib_qatten.drawing.attention", reason="no extra report")


@pytest.fixture
def game():
    """A game whose every text is somebody's."""
    rng = np.random.default_rng(0)
    spec = TeamSpec((f"<!--<script>{EVIL}", "</script>", "a"), 7, 3, 5, engine=f"x {EVIL} <!--")
    weights = Weights(rng.random(4), rng.random((4, 3)), rng.random((4, 3)))
    return WeighedGame(f"$\\frac{{1$ {EVIL}", spec, make_episode(rng, 4), weights, None)


def test_what_a_page_is_told_stays_data(game, tmp_path):
    pages.write(game, tmp_path / "game_1.html")
    page = (tmp_path / "game_1.html").read_text()
    elements = assert_policy_holds(page)
    assert elements.tags.count("script") == 2
    [data] = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)
    assert not re.search(r"[<>&]", data)
    shown = json.loads(data)
    assert shown["labels"][1] == "</script>"
    assert shown["engine"] == game.spec.engine
    assert not {"\x1b", "\u202e"} & set("".join(shown["labels"]))


def test_names_are_no_formulas(game, tmp_path):
    figures.draw(game).savefig(tmp_path / "game_1.png")
