"""Games of StarCraft II without StarCraft II."""

import time
from pathlib import Path

import pytest

from rllib_qatten.envs.battles import sc2, sc2_settings
from rllib_qatten.envs.battles.sc2 import SC2Teams
from rllib_qatten.envs.battles.sc2_settings import SC2Settings
from tests.envs.battles import fake_sc2


@pytest.fixture
def battles(tmp_path, monkeypatch):
    """Makes teams of the scripted env; at the end nothing of their processes may be left."""
    made = []
    monkeypatch.setattr(sc2, "FIRST_WAIT", 0.01)

    def make(num_games=1, faults=None, map_name="3m", **config):
        site, game = fake_sc2.install(tmp_path, faults)
        monkeypatch.syspath_prepend(site)
        monkeypatch.setenv("SC2PATH", str(game))
        sc2_settings.forget()
        teams = SC2Teams(SC2Settings.read(map_name, config).checked(), num_games)
        teams.site = site
        made.append(teams)
        return teams

    yield make
    for teams in made:
        teams.close()
        assert_nothing_left(teams.site)


def assert_nothing_left(site, seconds=0):
    """No process and no folder of all that the ledger knows."""
    begun = fake_sc2.ledger(site)
    pids = {line[key] for line in begun for key in ("player", "game") if line[key]}
    folders = {Path(line["folder"]) for line in begun}
    assert all(folder.name.startswith("rllib-qatten-sc2-") for folder in folders)
    end = time.monotonic() + seconds
    while True:
        left = [p for p in pids if fake_sc2.alive(p)] + [f for f in folders if f.exists()]
        if not left or time.monotonic() > end:
            break
        time.sleep(0.05)
    assert not left
