import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.rllib.core.columns import Columns

from rllib_qatten import columns
from rllib_qatten.rollout.episode import TeamEpisode
from rllib_qatten.training.batch import pack


def make_episode(rng, steps, terminated=True, n=2, o=3, a=4):
    return TeamEpisode(
        observations=rng.normal(size=(steps + 1, n, o)).astype(np.float32),
        state=rng.normal(size=(steps + 1, 5)).astype(np.float32),
        legal_actions=rng.random((steps + 1, n, a)) < 0.7,
        alive=rng.random((steps + 1, n)) < 0.7,
        actions=rng.integers(a, size=(steps, n)).astype(np.uint8),
        rewards=rng.normal(size=steps).astype(np.float32),
        terminated=terminated,
        won=None,
    )


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=6), st.booleans())
def test_against_rows_written_one_by_one(games, pad):
    rng = np.random.default_rng(len(games))
    episodes = [make_episode(rng, steps, ended) for steps, ended in games]
    packed = pack(episodes, pad=pad)
    ordered = sorted(episodes, key=len, reverse=True)
    longest = len(ordered[0])
    entries, transitions = [], []
    for t in range(longest + 1):
        for episode in ordered:
            if t > len(episode) and not pad:
                continue
            real = t <= len(episode)
            entries.append(
                (
                    episode.observations[t] if real else np.zeros((2, 3)),
                    episode.state[t] if real else np.zeros(5),
                    episode.legal_actions[t] if real else np.zeros((2, 4)),
                    episode.alive[t] if real else np.zeros(2),
                )
            )
            row = len(entries) - 1
            if t < (longest if pad else len(episode)):
                played = t < len(episode)
                transitions.append(
                    (
                        row,
                        episode.actions[t] if played else np.zeros(2),
                        episode.rewards[t] if played else 0,
                        played and t == len(episode) - 1 and episode.terminated,
                        played,
                    )
                )
            if t and real:
                np.testing.assert_array_equal(
                    packed[columns.LAST_ACTIONS][row], episode.actions[t - 1]
                )
            elif not t:
                assert (packed[columns.LAST_ACTIONS][row] == -1).all()
    for i, name in enumerate((Columns.OBS, columns.STATE, columns.LEGAL_ACTIONS, columns.ALIVE)):
        np.testing.assert_array_equal(packed[name], [e[i] for e in entries])
    names = (columns.NOW, Columns.ACTIONS, Columns.REWARDS, Columns.TERMINATEDS, columns.MASK)
    for i, name in enumerate(names):
        np.testing.assert_array_equal(packed[name], np.stack([tr[i] for tr in transitions]))
    assert packed[columns.BATCH_SIZES].sum() == len(entries)


def test_entries_after_the_transitions_are_the_last_ones():
    rng = np.random.default_rng(0)
    episodes = [make_episode(rng, steps) for steps in (2, 5, 3)]
    packed = pack(episodes)
    following = packed[columns.STATE][-len(packed[columns.NOW]) :]
    states = {row.tobytes(): i for e in episodes for i, row in enumerate(e.state)}
    for now, later in zip(packed[columns.STATE][packed[columns.NOW]], following, strict=True):
        assert states[later.tobytes()] == states[now.tobytes()] + 1


@pytest.mark.parametrize("pad", [False, True])
def test_one_step_episodes(pad):
    packed = pack([make_episode(np.random.default_rng(i), 1) for i in range(3)], pad=pad)
    assert packed[columns.BATCH_SIZES].tolist() == [3, 3]
    assert packed[Columns.TERMINATEDS].all()
