"""How far units are and how many aim at whom, against loops and against the engine itself."""

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from rllib_qatten.agents import Entities, Rows
from rllib_qatten.agents.compiled_entity import read
from rllib_qatten.agents.entity_actions import EntityActions
from rllib_qatten.agents.relations import Relations
from rllib_qatten.compiled.compiler import kernels

#: A row: whether it is there, x, y, and 10 + 2 j if it aims at unit j of the other side.
ROW = {"size": 4, "skip": (3, 4), "position": (1, 3), "aims": (10.0, 2.0)}


def layout(mates, enemies, **changes):
    of_mates = Rows(start=2, count=mates, **ROW | changes)
    of_enemies = Rows(start=of_mates.stop, count=enemies, **ROW | changes)
    end = of_enemies.stop
    return Entities(
        own=((0, 2), (end, end + 1)), teammates=of_mates, enemies=of_enemies, helper=end
    )


def observed(rng, n, enemies):
    """Observations [N, O] of a team, with the rows they are made of."""
    seen = rng.random((n, n - 1 + enemies)) < 0.7
    aims = np.concatenate(
        [rng.integers(-1, enemies, (n, n - 1)), rng.integers(-1, n, (n, enemies))], 1
    )
    aims[~seen] = -1
    places = rng.normal(size=(n, n - 1 + enemies, 2))
    named = np.where(aims < 0, 0, 10 + 2 * aims)[..., None]
    rows = np.concatenate([np.ones_like(named), places, named], -1) * seen[..., None]
    own, last = rng.normal(size=(n, 2)), rng.normal(size=(n, 1))
    observations = np.concatenate([own, rows.reshape(n, -1), last], 1)
    return torch.tensor(observations, dtype=torch.float32), seen, aims, places


@pytest.mark.parametrize(("n", "enemies"), [(1, 1), (2, 3), (5, 6), (8, 2)])
def test_relations_are_those_of_loops(n, enemies):
    declared = layout(n - 1, enemies)
    observations, seen, aims, places = observed(np.random.default_rng(n), n, enemies)
    related = declared.related
    told = Relations(declared, range(n))(observations).numpy()
    assert told.shape == (n, related.observation_size)
    assert not list(related.faults(told.shape[1], n, 10))
    mates, others = related.teammates, related.enemies
    assert (mates.size, others.size, related.own_size) == (4 + 2, 4 + 3, 3 + 1)
    for i in range(n):
        of_mates = told[i, mates.start : mates.stop].reshape(n - 1, mates.size)
        of_enemies = told[i, others.start : others.stop].reshape(enemies, others.size)
        by_mates, by_enemies = aims[i, : n - 1], aims[i, n - 1 :]
        for r in range(n - 1):
            agent = r if r < i else r + 1
            wanted = np.linalg.norm(places[i, r]), (by_enemies == agent).sum() / 2
            np.testing.assert_allclose(of_mates[r, 4:], np.array(wanted) * seen[i, r], rtol=1e-5)
        for j in range(enemies):
            far = np.linalg.norm(places[i, n - 1 + j])
            wanted = far, (by_mates == j).sum() / 2, by_enemies[j] == i
            wanted = np.array(wanted) * seen[i, n - 1 + j]
            np.testing.assert_allclose(of_enemies[j, 4:], wanted, rtol=1e-5)
        own = observations[i, [0, 1, -1]].tolist()
        assert told[i, others.stop :].tolist() == [*own, (by_enemies == i).sum() / 2]
        assert told[i, related.helper] == observations[i, declared.helper]


@pytest.mark.skipif(kernels("reading") is None, reason="numba is not installed")
@settings(deadline=None)
@drawn(
    st.integers(0, 2**32 - 1),
    st.permutations(range(4)),
    *[st.sampled_from([None, (1, 3), (0, 1)])] * 2,
    *[st.sampled_from([None, (10.0, 2.0), (0.0, -0.5)])] * 2,
    st.booleans(),
)
def test_compiled_and_torchs_relations_agree(seed, team, near, far, of_mates, of_enemies, longer):
    declared = layout(3, 5)
    changes = {
        name: getattr(declared, name).model_copy(update={"position": place, "aims": aims})
        for name, place, aims in (("teammates", near, of_mates), ("enemies", far, of_enemies))
    }
    declared = declared.model_copy(update=changes)
    rng = np.random.default_rng(seed)
    games = torch.stack([observed(rng, 4, 5)[0] for _ in range(6)])
    games[torch.as_tensor(rng.random(games.shape) < 0.1)] = -7.3e4
    dead = torch.as_tensor(rng.random((6, 4)) < 0.3)
    games[dead] = 0
    relations, related = Relations(declared, team), declared.related
    agents = np.flatnonzero(rng.random(24) < 0.8)  # a thread's share
    wanted = relations(games).flatten(0, 1)[agents]
    more = torch.cat([games, torch.ones(6, 4, 3)], -1) if longer else games
    last = torch.full((6, 4), -1)
    seen = read(more, last, relations, EntityActions(declared, 4, team), False, agents)
    for part, got in (("teammates", seen.teammates), ("enemies", seen.enemies)):
        rows = getattr(related, part)
        told = wanted[:, rows.start : rows.stop].view(-1, rows.count, rows.size).numpy()
        owners, places = np.nonzero(told.any(-1))
        used = np.delete(np.arange(rows.size), slice(*rows.skip))
        np.testing.assert_array_equal(got.owners, owners)
        np.testing.assert_allclose(got.rows[:, :-1], told[owners, places][:, used], rtol=1e-5)
        assert (got.rows[:, -1] == 1).all()
    own = torch.cat([wanted[:, start:stop] for start, stop in related.own], 1).numpy()
    observing = seen.agents.places < len(seen.agents.observations)
    assert observing.sum() >= len(agents) - dead.flatten()[agents].sum()
    np.testing.assert_array_equal(seen.agents.observations, own[observing])
    assert not own[~observing].any()


def test_nothing_declared_adds_nothing():
    given = layout(2, 2, position=None, aims=None)
    observations, *_ = observed(np.random.default_rng(0), 3, 2)
    assert given.related is given
    assert Relations(given, range(3))(observations) is observations


def test_what_cannot_be_is_a_fault():
    for changes, fault in (
        ({"aims": (10.0, 0.0)}, "its second number is not 0"),
        ({"skip": (2, 4)}, "it explains a single number"),
        ({"skip": None}, "it explains a single number"),
        ({"position": (3, 5)}, "but a row has 4 numbers"),
    ):
        given = layout(2, 2, **changes)
        assert any(fault in text for text in given.faults(given.observation_size, 3, 5))
    given = layout(2, 2)
    assert "needs 3 rows" in next(given.faults(given.observation_size, 4, 5))


def test_teams_with_and_without_do_not_fit():
    here, there = layout(2, 2), layout(2, 2, aims=None, position=None)
    assert any("holds 5 numbers there and 3 here" in text for text in here.differences(there))


@pytest.mark.slow
def test_smaxs_aims_are_the_engines():
    pytest.importorskip("jaxmarl", reason="the extra smax is not installed")
    from rllib_qatten.envs.battles.armies import Armies
    from rllib_qatten.envs.battles.smax import SMAXTeams

    games, rng = 8, np.random.default_rng(0)
    teams = SMAXTeams(Armies.read("5m_vs_6m"), games)
    given, view = teams.spec.entities, teams.reset(seed=0)
    relations, checked = Relations(given, range(5)), 0
    mates, others = given.related.teammates, given.related.enemies
    for _ in range(60):
        wishes = rng.random(view.legal_actions.shape)
        wishes[..., 5:] += 1
        view = teams.step(np.where(view.legal_actions, wishes, -1).argmax(-1)).view
        [attacks] = (v for k, v in teams.get_state().items() if "prev_attack_actions" in k)
        # The engine's numbers: an ally's 5 + j is enemy j, an enemy's is ally 4 - (a - 5).
        by_allies = np.where(attacks[:, :5] >= 5, attacks[:, :5] - 5, -1)
        by_enemies = np.where(attacks[:, 5:] >= 5, 4 - (attacks[:, 5:] - 5), -1)
        told = relations(torch.tensor(view.observations)).numpy()
        for g, i in np.ndindex(games, 5):
            rows = told[g, i, mates.start : mates.stop].reshape(4, -1)
            team = [agent for agent in range(5) if agent != i]
            enemies = told[g, i, others.start : others.stop].reshape(6, -1)
            near = [a for a, row in zip(team, rows, strict=True) if row.any()]
            seen = [j for j, row in enumerate(enemies) if row.any()]
            for j in seen:
                assert enemies[j, -2] * 2 == (by_allies[g, near] == j).sum()
                assert enemies[j, -1] == (by_enemies[g, j] == i)
                checked += by_enemies[g, j] == i
            for agent, row in zip(team, rows, strict=True):
                if row.any():
                    assert row[-1] * 2 == (by_enemies[g, seen] == agent).sum()
            assert told[g, i, -1] * 2 == (by_enemies[g, seen] == i).sum()
    assert checked > 100
