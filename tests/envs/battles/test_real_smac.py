"""StarCraft II through the real package `smac`: run with `pytest -m sc2` where it is installed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from rllib_qatten.envs import make_smac
from rllib_qatten.envs.battles import sc2_install

pytestmark = pytest.mark.sc2

#: Agents, observation, state, actions, limit, unit features; as SMAC's own `get_env_info` says.
SIZES = {
    "3m": (3, 30, 48, 9, 60, 4),
    "3s5z": (8, 128, 216, 14, 150, 7),
    "MMM": (10, 160, 290, 16, 150, 7),
    "MMM2": (10, 176, 322, 18, 180, 7),
    "27m_vs_30m": (27, 285, 1170, 36, 180, 4),
    "corridor": (6, 156, 282, 30, 400, 5),
    "2c_vs_64zg": (2, 332, 342, 70, 400, 5),
    "bane_vs_bane": (24, 336, 984, 30, 200, 6),
}
#: Plays with SMAC alone what is played with the engine beside it.
BARE = """
import json, sys
import numpy as np
from smac.env import StarCraft2Env
seed, *joints = json.loads(sys.argv[1])
env = StarCraft2Env(map_name="MMM", seed=seed)
env.reset()
seen = []
for joint in joints:
    reward = env.step(joint)[0]
    seen.append([reward, np.array(env.get_obs()).tolist(), env.get_state().tolist(),
                 env.get_avail_actions()])
env.close()
print(json.dumps(seen))
"""


@pytest.fixture(autouse=True)
def _installed():
    for problem in sc2_install.problems("MMM"):
        pytest.skip(f"{problem.what}; {problem.fix}")


def teams_of(map_name, games=1, **config):
    return make_smac({"map_name": map_name, "engine": "sc2", **config}).vectorize(games)


def random_legal(view, rng):
    return np.where(view.legal_actions, rng.random(view.legal_actions.shape), -1).argmax(-1)


@pytest.mark.parametrize("map_name", SIZES)
def test_sizes(map_name):
    spec = teams_of(map_name).spec
    found = (spec.n_agents, spec.observation_size, spec.state_size, spec.n_actions)
    assert (*found, spec.episode_limit, spec.unit_feature_size) == SIZES[map_name]
    assert spec.engine.startswith("sc2 (StarCraft II ")


def test_the_same_as_smac_alone():
    teams = teams_of("MMM")
    rng = np.random.default_rng(0)
    view = teams.reset(7)
    joints, steps = [], []
    for _ in range(20):
        actions = random_legal(view, rng)
        step = teams.step(actions)
        assert not step.done[0]
        joints.append(actions[0].tolist())
        steps.append(step)
        view = step.view
    teams.close()
    child = np.random.SeedSequence(7).spawn(1)[0].generate_state(1)[0] >> 1
    python = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    run = subprocess.run(
        [sys.executable, "-c", BARE, json.dumps([int(child), *joints])],
        capture_output=True, text=True, check=True,
        env={**os.environ, **python, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    for step, (reward, seen, state, legal) in zip(
        steps, json.loads(run.stdout.splitlines()[-1]), strict=True
    ):
        np.testing.assert_array_equal(step.final.observations[0], np.float32(seen))
        np.testing.assert_array_equal(step.final.state[0], np.float32(state))
        np.testing.assert_array_equal(step.final.legal_actions[0], np.array(legal, bool))
        assert step.rewards[0] == np.float32(reward)


def test_whole_battles_of_both_packages():
    maps = ["3m"]
    if not list(sc2_install.problems("protoss_5_vs_5")):
        maps.append("protoss_5_vs_5")
    for map_name in maps:
        teams = teams_of(map_name, 2)
        rng = np.random.default_rng(0)
        view, ended = teams.reset(1), 0
        returns = np.zeros(2)
        while ended < 4:
            step = teams.step(random_legal(view, rng))
            returns += step.rewards
            assert (returns < 21).all()
            ended += step.done.sum()
            returns[step.done] = 0
            view = step.view
            assert (view.alive == ~view.legal_actions[..., 0]).all()
        assert teams.game_restarts == 0
        teams.close()


@pytest.mark.parametrize("map_name", ["3m", "protoss_5_vs_5", "terran_5_vs_6", "zerg_5_vs_5"])
def test_same_seed_same_games(map_name):
    """Armies and places of several battles, SMACv2's own draws included."""
    for problem in sc2_install.problems(map_name):
        pytest.skip(problem.what)

    def states(seed):
        teams, rng, seen = teams_of(map_name, 2), np.random.default_rng(0), []
        view = teams.reset(seed)
        while len(seen) < 3:
            seen.append(view.state.copy())
            done = np.zeros(2, bool)
            while not done.any():
                step = teams.step(random_legal(view, rng))
                view, done = step.view, step.done
        teams.close()
        return seen

    first, again, other = states(11), states(11), states(12)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert map_name == "3m" or not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("proxy", ["http_proxy", "all_proxy", "HTTP_PROXY"])
def test_games_begin_behind_a_proxy(monkeypatch, proxy):
    monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.delenv("no_proxy", raising=False)
    teams = teams_of("3m", hang_timeout_s=20)
    assert teams.reset(1).alive.all()
    teams.close()


def test_all_games_begin_at_once_on_ports_of_their_own():
    teams = teams_of("3m", 8)
    assert teams.reset(1).alive.all()
    assert teams.game_restarts == 0
    teams.close()


ALL_SEEN = {
    "obs_last_action": True,
    "obs_pathing_grid": True,
    "obs_terrain_height": True,
    "obs_timestep_number": True,
}
#: Battles with a Medivac, and with what changes how observations are made.
MADE = [
    ("MMM2", {}),
    ("MMM2", ALL_SEEN),
    ("MMM2", {"obs_own_health": False, "obs_all_health": False}),
    ("2s3z", ALL_SEEN),
    ("2c_vs_64zg", {}),
    ("terran_5_vs_5", {}),
    ("terran_5_vs_5", {"conic_fov": True, "obs_own_pos": False} | ALL_SEEN),
    ("protoss_10_vs_11", {"obs_own_health": False}),
]


@pytest.mark.parametrize(("map_name", "config"), MADE, ids=str)
def test_rows_are_units(map_name, config):
    """What rows and own parts say agrees with what may be done and with the other agents."""
    for problem in sc2_install.problems(map_name):
        pytest.skip(problem.what)
    teams, rng = teams_of(map_name, **config), np.random.default_rng(0)
    spec, view = teams.spec, teams.reset(5)
    entities, n = spec.entities, spec.n_agents
    assert not list(entities.faults(spec.observation_size, n, spec.n_actions))
    own_features, allies, enemies = entities.own_features, entities.teammates, entities.enemies
    type_bits = [i for i, name in enumerate(own_features) if " type " in name]
    healed = set()
    for _ in range(40):
        legal, seen = view.legal_actions[0], view.observations[0]
        own = np.concatenate([seen[:, start:stop] for start, stop in entities.own], 1)
        rows = {
            part: seen[:, part.start : part.stop].reshape(n, part.count, part.size)
            for part in (allies, enemies)
        }
        alive = view.alive[0]
        assert (own[alive][:, type_bits].sum(1) == 1).all() or not type_bits
        for i in np.flatnonzero(alive):
            team = [k for k in range(n) if k != i]
            mates = rows[allies][i]
            visible = mates[:, allies.features.index("visible")] == 1
            assert (visible == mates.any(1)).all()
            assert alive[team][visible].all()
            for name in {*own_features} & {*allies.features} - {"x", "y"}:  # the same of each unit
                mine, theirs = own_features.index(name), allies.features.index(name)
                np.testing.assert_array_equal(mates[visible, theirs], own[team][visible, mine])
            if entities.helper is not None and seen[i, entities.helper] > 0:
                helped = legal[i, entities.helps : entities.helps + n]
                assert not helped[i]
                assert visible[helped[team]].all()
                healed |= {*np.flatnonzero(helped)}
                continue
            attacked = legal[i, entities.attacks : entities.attacks + enemies.count]
            attackable = rows[enemies][i, :, enemies.features.index("attackable")] == 1
            # SMACv2's units reach farther than they see.
            assert attacked[attackable].all()
            assert attackable.any() or not attacked.any() or "_vs_" in map_name
        timeless = [k for k, name in enumerate(own_features) if not name.startswith("time")]
        assert (own[~alive][:, timeless] == 0).all()
        step = teams.step(random_legal(view, rng))
        view = step.view
    teams.close()
    medivacs = map_name == "MMM2"
    assert len(healed) > 3 if medivacs else True
