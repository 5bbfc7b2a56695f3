"""SMAX battles: what engine and wrapper promise, checked on the running engine."""

import subprocess
import sys

import numpy as np
import pytest

from rllib_qatten.envs import TeamView, make_smac
from rllib_qatten.envs.battles import smax, smax_engine
from rllib_qatten.envs.battles.armies import SMAC_LIMITS, Armies
from rllib_qatten.envs.battles.smax import SMAXTeams
from rllib_qatten.envs.battles.smax_battle import UNIT_FEATURES
from rllib_qatten.rollout.episode import bytes_per_entry

pytestmark = pytest.mark.skipif(not smax.installed(), reason="the extra smax is not installed")
GAMES = 8


def random_actions(view, rng):
    return np.where(view.legal_actions, rng.random(view.legal_actions.shape), -1).argmax(-1)


def shoot_or_advance(view, _):
    """Attacks the first enemy in range, else walks east: wins about half of 3m."""
    attacks = view.legal_actions[..., 5:]
    return np.where(attacks.any(-1), 5 + attacks.argmax(-1), np.where(view.alive, 1, 4))


def play(teams, policy, steps, seed=0):
    rng = np.random.default_rng(seed)
    view = teams.reset(seed)
    trace = []
    for _ in range(steps):
        actions = policy(view, rng)
        assert np.take_along_axis(view.legal_actions, actions[..., None], -1).all()
        step = teams.step(actions)
        trace.append((view, actions, step))
        view = step.view
    return trace


@pytest.fixture(scope="module")
def teams():
    return SMAXTeams(Armies.read("3m"), GAMES)


@pytest.fixture(scope="module")
def trace(teams):
    return play(teams, shoot_or_advance, 120)


def test_views_have_their_shapes(teams):
    view, spec = teams.reset(0), teams.spec
    assert view.observations.shape == (GAMES, 3, spec.observation_size)
    assert view.state.shape == (GAMES, spec.state_size) == (GAMES, 6 * UNIT_FEATURES)
    assert view.legal_actions.shape == (GAMES, 3, 8)
    assert view.legal_actions.dtype == view.alive.dtype == bool
    assert view.observations.dtype == view.state.dtype == np.float32
    assert spec.unit_feature_size == UNIT_FEATURES
    assert spec.is_battle
    assert "jaxmarl" in spec.engine


def test_state_is_scaled(trace):
    states = np.concatenate([step.final.state for *_, step in trace])
    assert states.min() >= 0
    assert states.max() <= 1.5  # a fresh cooldown is drawn around its type's
    units = states.reshape(len(states), 6, UNIT_FEATURES)
    assert (units[..., 0].max(0) == 1).all()  # health begins at 1


def test_dead_units_are_masked_zeroed_and_can_only_stop(trace):
    dead_seen = 0
    for *_, step in trace:
        view = step.final
        dead = ~view.alive
        dead_seen += dead.sum()
        units = view.state[:, : 3 * UNIT_FEATURES].reshape(GAMES, 3, UNIT_FEATURES)
        assert (units[dead] == 0).all()
        assert (view.observations[dead] == 0).all()
        only_stop = np.eye(8, dtype=bool)[4]
        assert (view.legal_actions[dead] == only_stop).all()
        assert view.legal_actions.any(-1).all()
    assert dead_seen > 0


@pytest.mark.parametrize(
    ("map_name", "types"),
    [
        ("3m", (0, 0, 0)),
        ("2s3z", (2, 2, 3, 3, 3)),
        ("3s5z_vs_3s6z", (2, 2, 2, 3, 3, 3, 3, 3)),
        ("smacv2_5_units", None),  # drawn anew in every game
    ],
)
def test_unit_types(map_name, types):
    env = make_smac({"map_name": map_name, "engine": "smax"})
    assert env.unit_types == env.vectorize(1).spec.unit_types == types


def test_unit_types_are_those_of_the_state():
    teams = SMAXTeams(Armies.read("2s3z"))
    features = teams.reset(0).state[0].reshape(-1, UNIT_FEATURES)[: teams.spec.n_agents]
    assert tuple(features[:, 4:].argmax(-1)) == teams.spec.unit_types


def test_wins_rewards_and_ends(trace):
    returns, wins, losses = np.zeros(GAMES), [], []
    for *_, step in trace:
        returns += step.rewards
        enemies = step.final.state.reshape(GAMES, 6, UNIT_FEATURES)[:, 3:, 0]
        allies = step.final.alive.any(-1)
        np.testing.assert_array_equal(step.terminated, ~allies | (enemies <= 0).all(-1))
        np.testing.assert_array_equal(step.won, allies & (enemies <= 0).all(-1))
        wins += returns[step.done & step.won].tolist()
        losses += returns[step.done & ~step.won].tolist()
        returns[step.done] = 0
    assert len(wins) > 3
    assert len(losses) > 3
    np.testing.assert_allclose(wins, 20, rtol=1e-5)  # SMAC's scale
    assert max(losses) <= 10 + 1e-4


def test_ended_games_begin_anew_and_keep_their_last_view(trace):
    ends = 0
    for *_, step in trace:
        for g in np.flatnonzero(step.done):
            ends += 1
            assert step.view.alive[g].all()
            assert not np.array_equal(step.view.state[g], step.final.state[g])
        going = ~step.done
        np.testing.assert_array_equal(step.view.state[going], step.final.state[going])
    assert ends > 10


def test_same_seed_same_games(teams):
    first = play(teams, random_actions, 20, seed=3)
    again = play(teams, random_actions, 20, seed=3)
    other = play(teams, random_actions, 20, seed=4)
    for (_, _, a), (_, _, b) in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.view.state, b.view.state)
        np.testing.assert_array_equal(a.rewards, b.rewards)
    assert not np.array_equal(first[0][0].state, other[0][0].state)


def test_time_limit_truncates(teams):
    limit = SMAC_LIMITS["3m"]

    def keep_away(view, _):
        """West and back: the scripted enemy needs longer than this to arrive, or kills."""
        return np.where(view.alive, np.where(view.legal_actions[..., 3], 3, 4), 4)

    trace = play(teams, keep_away, 3 * limit)
    lengths, t = [], np.zeros(GAMES, int)
    for *_, step in trace:
        t += 1
        assert not (step.truncated & step.terminated).any()
        assert not (step.truncated & step.won).any()
        lengths += [
            (int(n), bool(cut))
            for n, cut in zip(t[step.done], step.truncated[step.done], strict=True)
        ]
        t[step.done] = 0
    assert lengths
    assert all((n == limit) == cut for n, cut in lengths)


def test_single_game_is_the_same_battle():
    env = make_smac({"map_name": "3m", "engine": "smax"})
    teams = env.vectorize(1)
    seen, infos = env.reset(seed=5)
    view = teams.reset(5)
    rng = np.random.default_rng(0)
    for _ in range(60):
        for i, agent in enumerate(env.possible_agents):
            assert env.observation_spaces[agent].contains(seen[agent])
            np.testing.assert_array_equal(seen[agent]["observations"], view.observations[0, i])
            np.testing.assert_array_equal(seen[agent]["action_mask"], view.legal_actions[0, i])
            assert infos[agent]["alive"] == view.alive[0, i]
        np.testing.assert_array_equal(env.state(), view.state[0])
        actions = random_actions(view, rng)
        step = teams.step(actions)
        seen, rewards, terminated, truncated, infos = env.step(
            dict(zip(env.possible_agents, actions[0].tolist(), strict=True))
        )
        assert set(rewards.values()) == {float(step.rewards[0])}
        assert terminated["__all__"] == step.terminated[0]
        assert truncated["__all__"] == step.truncated[0]
        view: TeamView = step.final
        if step.done[0]:
            assert infos["__common__"]["battle_won"] == step.won[0]
            seen, infos = env.reset()
            view = step.view


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"map_name": "MMM", "engine": "smax"}, ["MMM", "medivac", "engine: sc2"]),
        ({"map_name": "MMM"}, ["medivac", "That cannot be played here: ", "pysc2"]),
        ({"map_name": "9q_vs_3m"}, ["'q'", "m marine"]),
        ({"map_name": "300m_vs_300m"}, ["300m is too large", "1.9 GB", "the limit is 1.0 GB"]),
        ({"map_name": "6s9z_vs_6s10z", "engine": "sc2"}, ["'6s9z_vs_6s10z'", "engine: smax"]),
        ({"map_name": {"allies": {"marine": 3}}, "engine": "sc2"}, ["own maps", "engine: smax"]),
        ({"map_name": "3m", "difficulty": "7"}, ["'difficulty'", "is not installed"]),
        ({"map_name": "3m", "engine": "sc3"}, ["'sc3'", "'sc2'"]),
        ({"map": "3m"}, ["'map'", "map_name"]),
    ],
)
def test_refuses(config, says):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is checked below
        make_smac(config)
    for part in says:
        assert part in str(error.value)


def test_games_that_do_not_fit_in_memory_are_refused(monkeypatch):
    monkeypatch.setattr(smax.machine, "available_memory", lambda: 10_000_000)
    with pytest.raises(ValueError, match=r"32 games of 27m_vs_30m take 0\.\d GB and 10\.0 MB are"):
        SMAXTeams(Armies.read("27m_vs_30m"), 32)


def test_sc2_says_what_is_missing(monkeypatch):
    monkeypatch.delenv("SC2PATH", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"engine: sc2 cannot play 3m: .*: smax\."):
        make_smac({"map_name": "3m", "engine": "sc2"})


@pytest.mark.slow
def test_import_is_lazy_and_silent_and_of_smax_alone_until_more_is_wanted():
    code = (
        "import sys, rllib_qatten; from rllib_qatten.envs import make_smac;"
        "assert 'jaxmarl' not in sys.modules;"
        "make_smac({'map_name': '3m'}); make_smac({'map_name': '3m'});"
        "assert 'jaxmarl' in sys.modules and sys.stdout is sys.__stdout__;"
        "loaded = sorted(name.split('.')[2] for name in sys.modules if name.count('.') == 2"
        " and name.startswith('jaxmarl.environments.'));"
        "assert loaded == ['multi_agent_env', 'smax', 'spaces'], loaded; print('so far');"
        "ours = sys.modules['jaxmarl.environments.smax'];"
        "import jaxmarl; from jaxmarl.environments import SMAX, SimpleMPE;"
        "assert jaxmarl.environments.smax is ours and SMAX is ours.SMAX;"
        "assert isinstance(jaxmarl.make('HeuristicEnemySMAX'), ours.HeuristicEnemySMAX)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("so far\n")  # then jaxmarl's own words
    assert run.stderr.count("engine: auto plays SMAX") == 1


def test_saved_battles_go_on_elsewhere(teams):
    view = play(teams, shoot_or_advance, 7)[-1][2].view
    saved = teams.get_state()

    def go_on(battles):
        rng, now = np.random.default_rng(0), view
        for _ in range(70):  # beyond the time limit: new battles are drawn alike
            step = battles.step(random_actions(now, rng))
            yield step
            now = step.view

    here = list(go_on(teams))
    other = SMAXTeams(Armies.read("3m"), GAMES)
    other.set_state(saved)
    for ours, theirs in zip(here, go_on(other), strict=True):
        np.testing.assert_array_equal(ours.rewards, theirs.rewards)
        for name, array in vars(ours.view).items():
            np.testing.assert_array_equal(array, getattr(theirs.view, name))
    del saved["['key']"]
    with pytest.raises(ValueError, match="of another map, number or version"):
        other.set_state(saved)


def jaxmarls(map_name):
    """JaxMARL's own battle of a name."""
    jax, module = smax_engine._import_jax()
    scenario = module.map_name_to_scenario(map_name)
    return jax, module.HeuristicEnemySMAX(scenario=scenario), scenario


def test_all_names_of_jaxmarl_are_the_same_armies():
    from jaxmarl.environments.smax.smax_env import MAP_NAME_TO_SCENARIO

    assert len(MAP_NAME_TO_SCENARIO) >= 14
    for name, scenario in MAP_NAME_TO_SCENARIO.items():
        armies = Armies.read(name)
        assert armies.name == name
        assert list(armies.allies + armies.enemies) == scenario.unit_types.tolist()
        assert (len(armies.allies), len(armies.enemies)) == (
            scenario.num_allies,
            scenario.num_enemies,
        )
        drawn = scenario.smacv2_position_generation, scenario.smacv2_unit_type_generation
        assert drawn == (armies.drawn, armies.drawn)


@pytest.mark.parametrize("given", ["3m", {"allies": {"marine": 3}}])
def test_the_same_battle_as_jaxmarls(given):
    """First observations and states, computed by JaxMARL alone."""
    jax, env, _ = jaxmarls("3m")
    view = make_smac({"map_name": given, "engine": "smax"}).vectorize(GAMES).reset(7)
    _, games = jax.random.split(jax.random.PRNGKey(7))
    for g, key in enumerate(jax.random.split(games, GAMES)):
        seen, state = env.reset(key)
        for i in range(3):
            np.testing.assert_array_equal(view.observations[g, i], seen[f"ally_{i}"])
        units = view.state[g].reshape(6, UNIT_FEATURES)
        raw = np.asarray(seen["world_state"])[:60].reshape(6, UNIT_FEATURES)
        np.testing.assert_array_equal(units[:, 1:3] * 32, raw[:, 1:3])
        np.testing.assert_array_equal(units[:, [0, *range(4, 10)]], raw[:, [0, *range(4, 10)]])
        assert int(state.state.unit_types.sum()) == 0


def test_an_army_that_only_a_name_makes():
    """Two marines against a zealot: who they are, what is seen, how it ends."""
    env = make_smac({"map_name": "2m_vs_1z", "engine": "smax"})
    assert (env.unit_types, env.episode_limit) == ((0, 0), 150)
    teams = env.vectorize(GAMES)
    assert (teams.spec.n_agents, teams.spec.n_actions) == (2, 6)
    first = teams.reset(0).state[0].reshape(3, UNIT_FEATURES)
    assert first[:, 4:].argmax(-1).tolist() == [0, 0, 3]
    trace = play(teams, shoot_or_advance, 200)
    ended = sum(step.done.sum() for *_, step in trace)
    assert ended >= GAMES


@pytest.mark.parametrize("name", ["8m_vs_9m", "corridor", "3s_vs_3z", "4s6z", "1M2h_vs_3zg"])
def test_predicted_bytes_are_those_of_a_recorded_battle(name):
    armies = Armies.read(name)
    spec = smax_engine.engine(armies, 1).spec
    assert smax.battle_bytes(armies) == (spec.episode_limit + 1) * bytes_per_entry(spec)


def test_rows_are_units(teams, trace):
    """What rows and own parts say of units agrees with the state and with what may be attacked."""
    spec = teams.spec
    entities, n = spec.entities, spec.n_agents
    assert not list(entities.faults(spec.observation_size, n, spec.n_actions))
    (own,) = entities.own
    allies, enemies = entities.teammates, entities.enemies
    met = 0
    for view, _, _ in trace:
        units = view.state.reshape(GAMES, -1, UNIT_FEATURES)
        seen = view.observations
        of_self = seen[..., own[0] : own[1]]
        assert (of_self[view.alive] == units[:, :n][view.alive])[:, 1:3].all()
        for i in range(n):
            parts = [(allies, [k for k in range(n) if k != i]), (enemies, range(n, units.shape[1]))]
            for part, who in parts:
                shape = (GAMES, part.count, part.size)
                rows = seen[:, i, part.start : part.stop].reshape(shape)
                there, theirs = rows.any(-1), units[:, list(who)]
                for name in entities.own_features:
                    if name in part.features and name != "cooldown":
                        place = part.features.index(name)
                        same = entities.own_features.index(name)
                        np.testing.assert_allclose(
                            rows[there][:, place], theirs[there][:, same], rtol=1e-6
                        )
            attacked = view.legal_actions[:, i, entities.attacks :]
            assert there[attacked].all()  # enemies came last
            met += attacked.sum()
    assert met > 100
