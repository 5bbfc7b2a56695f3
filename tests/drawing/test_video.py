"""An engine from outside the package is drawn, and saves replays, by its part of the contract."""

import numpy as np
import pytest
from PIL import Image

from rllib_qatten.drawing import video
from rllib_qatten.drawing.battle_frames import HEAD, SCALE, BattleFrames
from rllib_qatten.drawing.palette import DARK
from rllib_qatten.envs import TeamSpec, TeamStep, TeamVector, TeamView
from rllib_qatten.envs.battles.battle import Battle
from rllib_qatten.errors import BadInput
from rllib_qatten.rollout.episode import Recorder

STEPS = 4


class Duel(TeamVector):
    """One unit against another that stands still and loses a quarter of its health a step."""

    drawable = True
    replay_ending = ".Duel"

    def __init__(self):
        spec = TeamSpec(("it",), 2, 1, 1, is_battle=True, engine="duel", episode_limit=STEPS)
        super().__init__(spec, 1)

    def reset(self, seed=None):
        self.t = 0
        return self.view()

    def view(self):
        view = TeamView.blank(self.spec, 1)
        view.state[:] = 1 - self.t / STEPS
        view.legal_actions[:] = True
        return view

    def step(self, actions):
        self.t += 1
        final, over = self.view(), np.array([self.t == STEPS])
        return TeamStep(np.ones(1, np.float32), over, np.zeros(1, bool), over, final, final)

    def battle(self, state, actions):
        health = np.column_stack([np.ones(len(state)), state[:, 0]])
        return Battle(
            health=health,
            positions=np.tile([[0.4, 0.5], [0.6, 0.5]], (len(state), 1, 1)),
            shoots=np.zeros_like(health, bool),
            targets=np.tile([1, -1], (len(actions), 1)),
            types=("archer", "knight"),
            radii=np.array([0.02, 0.02]),
        )

    def save_replay(self):
        return b"a duel"


@pytest.fixture
def duel():
    teams = Duel()
    recorder = Recorder(teams.spec, 1)
    recorder.begin(teams.reset())
    episodes = []
    while not episodes:
        actions = np.ones((1, 1), int)
        episodes = recorder.record(actions, teams.step(actions))
    return teams, episodes[0]


def test_it_is_drawn(duel, tmp_path):
    teams, episode = duel
    video.check(tmp_path / "a.gif", teams)
    video.write(episode, teams, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        # Pictures that are alike are one that is shown for longer.
        shown = [gif.seek(i) or gif.info["duration"] for i in range(gif.n_frames)]
    assert shown[-1] == 1000 * STEPS * 0.5 / 2  # the end is held for half of the battle
    assert sum(shown[:-1]) == 1000 * STEPS * 0.5  # which is as fast as the game


def test_its_replay_is_saved(duel, tmp_path):
    teams, episode = duel
    video.check(tmp_path / "a.duel", teams)
    video.write(episode, teams, tmp_path / "a.duel")
    assert (tmp_path / "a.duel").read_bytes() == b"a duel"


def test_what_it_does_not_offer_is_refused(duel, tmp_path, monkeypatch):
    teams, _ = duel
    with pytest.raises(BadInput, match=r"\.gif or \.mp4, or \.Duel \(duel's own\)"):
        video.check(tmp_path / "a.SC2Replay", teams)
    monkeypatch.setattr(Duel, "drawable", False)
    with pytest.raises(BadInput, match=r"duel does not say where units stand; use \.Duel"):
        video.check(tmp_path / "a.gif", teams)


def rgb(color):
    return tuple(int(DARK[color][i : i + 2], 16) for i in (1, 3, 5))


def colors(image):
    """How many pixels there are of each of the theme's colors."""
    counts = {color: number for number, color in image.getcolors(1 << 24)}
    return {name: counts.get(rgb(name), 0) for name in DARK}


def two_steps(place, cause):
    """Two units, the first of which dies in the first step, at some place."""
    return Battle(
        health=np.array([[0.5, 1], [0, 1], [0, 1]]),
        positions=np.tile([place, [0.5, 0.5]], (3, 1, 1)).astype(float),
        shoots=np.zeros((3, 2), bool),
        targets=np.full((2, 2), -1),
        types=("archer", "knight"),
        radii=np.array([0.02, 0.02]),
        causes=(cause, ""),
        edge_kills=True,
    )


@pytest.mark.parametrize("place", [(0.04, 0.5), (0.96, 0.5), (0.5, 0.04), (0.5, 0.96)])
def test_the_edge_is_drawn_and_who_died_of_it_stands_on_it(place, duel):
    battle = two_steps(place, "edge")
    [(unit, entry, x, y, cause)] = battle.deaths
    assert (unit, entry, cause) == (0, 1, "edge")
    assert (x, y) == tuple(round(v) if v != 0.5 else v for v in place)
    episode = duel[1]
    by_edge = BattleFrames(battle, episode).draw(1).crop((0, HEAD * SCALE, 1280, 4000))
    assert colors(by_edge)["outside"] > 1000
    assert colors(by_edge)["ink"] > 1000  # the line
    shot = (
        BattleFrames(two_steps(place, "shot"), episode).draw(1).crop((0, HEAD * SCALE, 1280, 4000))
    )
    assert colors(by_edge)["ally"] > 1.5 * colors(shot)["ally"] > 0  # its box


def test_far_from_the_edge_the_small_map_alone_shows_it(duel):
    image = BattleFrames(two_steps((0.4, 0.5), "shot"), duel[1]).draw(0)
    assert colors(image.crop((0, HEAD * SCALE, *image.size)))["outside"] == 0
    small = image.crop((1280 - 58 * SCALE, 0, 1280, HEAD * SCALE))
    assert colors(small)["ink"] > 200


def test_each_side_has_a_bar_of_its_health(duel):
    pen = BattleFrames(two_steps((0.4, 0.5), "shot"), duel[1])
    head = [pen.draw(t).crop((0, 0, 1280 - 70 * SCALE, HEAD * SCALE)) for t in (0, 1)]
    before, after = map(colors, head)
    assert before["ally"] == pytest.approx(before["enemy"] / 2, rel=0.02)
    assert after["ally"] == 0
    assert after["enemy"] == before["enemy"]


def test_long_battles_get_fewer_pictures_and_keep_their_speed():
    battle = two_steps((0.4, 0.5), "shot")
    assert [video.pictures_a_step(battle, steps) for steps in (1, 80, 150, 400, 900)] == [
        5, 5, 2, 1, 1,
    ]  # fmt: skip


def test_between_two_steps_units_move_evenly(duel):
    battle = two_steps((0.4, 0.5), "shot")
    battle.positions[1, 1] = 0.6, 0.5
    moved = BattleFrames(battle, duel[1])._positions(0, 0.5)
    np.testing.assert_allclose(moved, [[0.4, 0.5], [0.55, 0.5]])
