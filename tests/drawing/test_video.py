"""An engine from outside the package is drawn, and saves replays, by its part of the contract."""

import numpy as np
import pytest
from PIL import Image

from rllib_qatten.drawing import video
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
        assert gif.n_frames == STEPS + 1


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
