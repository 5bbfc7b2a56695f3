import weakref

import numpy as np
import pytest

from rllib_qatten.rollout import replay as module
from rllib_qatten.rollout.episode import ARRAYS
from rllib_qatten.rollout.replay import EpisodeReplay
from tests.rollout.test_episode import record


@pytest.fixture(scope="module")
def episodes():
    return record([{"lengths": [1, 2, 3]}], 60)[1]


def test_keeps_the_newest(episodes):
    replay = EpisodeReplay(capacity=7, seed=0)
    replay.add(episodes[:5])
    replay.add(episodes[5:12])
    assert len(replay) == 7
    assert {id(e) for e in replay.sample(7).episodes} == set(map(id, replay.episodes))
    for held, given in zip(replay.episodes, episodes[5:12], strict=True):
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(held, name), getattr(given, name))
            assert getattr(held, name).dtype == getattr(given, name).dtype
        assert (held.terminated, held.won) == (given.terminated, given.won)
    assert replay.nbytes == sum(e.nbytes for e in episodes[5:12])


def test_episodes_lie_in_the_replays_own_memory_which_goes_with_them(episodes, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 4 * episodes[0].nbytes)
    replay = EpisodeReplay(capacity=10, seed=0)
    replay.add(episodes[:10])
    assert not np.shares_memory(replay.episodes[0].rewards, episodes[0].rewards)
    chunk = weakref.ref(replay.episodes[0].rewards.base)
    drawn = replay.sample(10)
    replay.add(episodes[10:20])
    for now, then in zip(sorted(drawn.indices), episodes[:10], strict=True):
        [held] = [e for e, i in zip(*drawn, strict=True) if i == now]
        np.testing.assert_array_equal(held.state, then.state)  # still what was drawn
    assert chunk() is not None
    del drawn, held
    assert chunk() is None


def test_draws_uniformly_without_replacement(episodes):
    replay = EpisodeReplay(capacity=10, seed=0)
    replay.add(episodes[:10])
    counts = dict.fromkeys(map(id, replay.episodes), 0)
    for _ in range(2000):
        drawn = [id(e) for e in replay.sample(4).episodes]
        assert len(set(drawn)) == 4
        for key in drawn:
            counts[key] += 1
    np.testing.assert_allclose(list(counts.values()), 800, atol=90)


def test_state_continues_the_draws(episodes):
    first, second = (EpisodeReplay(capacity=30, seed=s) for s in (0, 1))
    for replay in (first, second):
        replay.add(episodes[:30])
    second.set_state(first.get_state())
    np.testing.assert_array_equal(first.sample(9).indices, second.sample(9).indices)


def test_too_few(episodes):
    replay = EpisodeReplay(capacity=30)
    replay.add(episodes[:3])
    with pytest.raises(ValueError, match=r"Cannot draw 4 .* holds 3"):
        replay.sample(4)


def test_shares_of_a_batch_are_whole_and_nearly_equal(episodes):
    replay = EpisodeReplay(capacity=60, seed=0)
    replay.add(episodes)
    drawn = replay.sample(25)
    shares = drawn.dealt(3)
    assert sorted(map(id, drawn.episodes)) == sorted(id(e) for s in shares for e in s.episodes)
    steps = [sum(map(len, share.episodes)) for share in shares]
    assert max(steps) - min(steps) <= len(drawn.episodes[0])
    for share in shares:
        lengths = [len(e) for e in share.episodes]
        assert lengths == sorted(lengths, reverse=True)  # as batches are packed
        held = replay.episodes
        assert all(held[i] is e for i, e in zip(share.indices, share.episodes, strict=True))
