"""What a trial notes while it works, and who reads it."""

import types

import pytest

from rllib_qatten import QMIX
from rllib_qatten.algorithms import live


@pytest.fixture
def trial(ray_session):
    """An algorithm that believes to be in a trial, and what finds its notes."""
    live._watched.cache_clear()
    config = QMIX.get_default_config().environment("two_step_game")
    config.training(train_batch_size_episodes=8)
    algorithm = config.build_algo()
    algorithm._storage = types.SimpleNamespace(trial_dir_name="trial")
    yield algorithm, types.SimpleNamespace(storage=algorithm._storage)
    live.unwatch()
    live._watched.cache_clear()
    algorithm._storage = None
    algorithm.stop()


def test_nobody_watches_nothing_is_noted(trial):
    algorithm, reader = trial
    algorithm.training_step()
    assert live.latest(reader) == {}


def test_notes_of_all_it_does(trial, monkeypatch):
    algorithm, reader = trial
    live.watch()
    seen = []
    note = algorithm.note

    def noting(doing):
        algorithm._noted = -1e9  # all of them, however soon
        note(doing)
        seen.append(live.latest(reader))

    monkeypatch.setattr(algorithm, "note", noting)
    algorithm.training_step()
    algorithm.evaluate()
    assert [found["doing"] for found in seen] == ["playing", "learning", "evaluating"]
    assert "env_steps" not in seen[0]  # nothing was played yet
    assert seen[1]["env_steps"] == 16
    assert isinstance(seen[1]["return"], float)
    assert "win_rate" not in seen[1]  # it is no battle
    live.unwatch()
    assert live.latest(reader) == {}


def test_short_turns_are_noted_a_few_times_a_second(trial, monkeypatch):
    algorithm, _ = trial
    live.watch()
    written = []
    monkeypatch.setattr(live, "_internal_kv_put", lambda key, text, **_: written.append(text))
    for _ in range(50):
        algorithm.note(live.PLAYING)
        algorithm.note(live.LEARNING)
    assert len(written) == 1
    algorithm.note(live.EVALUATING)
    assert len(written) == 2


def test_a_note_that_cannot_be_left_stops_nothing(trial, monkeypatch):
    algorithm, reader = trial
    live.watch()

    def gone(*args, **kwargs):
        raise RuntimeError("no server")

    monkeypatch.setattr(live, "_internal_kv_put", gone)
    monkeypatch.setattr(live, "_internal_kv_get", gone)
    algorithm.note(live.EVALUATING)
    assert live.latest(reader) == {}
