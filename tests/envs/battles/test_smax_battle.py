"""What a drawing is told of SMAX's battles, against what the engine keeps to itself."""

import collections

import numpy as np
import pytest

from rllib_qatten.envs.battles import smax, smax_battle
from rllib_qatten.envs.battles.armies import Armies
from rllib_qatten.envs.battles.battle import EDGE, SHOT
from rllib_qatten.envs.battles.smax import SMAXTeams
from rllib_qatten.envs.battles.smax_battle import read_battle
from rllib_qatten.rollout.episode import Recorder

pytestmark = pytest.mark.skipif(not smax.installed(), reason="the extra smax is not installed")
GAMES = 8


@pytest.fixture(scope="module")
def teams():
    return SMAXTeams(Armies.read("3m"), GAMES)


def test_the_units_numbers_are_the_engines(teams):
    env = teams._engine._env
    assert env.walls_cause_death
    assert (env.map_width, env.map_height) == (32, 32)
    seconds = env.world_steps_per_env_step * env.time_per_step
    assert smax_battle.STEP_SECONDS == seconds == 0.5
    for ours, theirs in (
        (smax_battle.RADII * 32, env.unit_type_radiuses),
        (smax_battle.REACH * 32, env.unit_type_attack_ranges),
        (smax_battle.SPEEDS * 32, env.unit_type_velocities),
        (smax_battle.PAUSES, env.unit_type_weapon_cooldowns),
        (smax_battle.SHOTS, env.unit_type_attacks),
        (smax_battle.FULL_HEALTH, env.unit_type_health),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    for action, move in enumerate(smax_battle.MOVES):
        joint = np.full(env.num_agents, action)
        moved, _ = env._decode_actions(teams._engine.new_key(0), None, joint)
        np.testing.assert_allclose(moved[0], move, atol=1e-6)


def test_what_units_die_of_and_where(teams):
    """Units that walk in one direction, into the enemy or off the map, and shoot at times."""
    recorder, rng = Recorder(teams.spec, GAMES), np.random.default_rng(0)
    view = teams.reset(seed=0)
    recorder.begin(view)
    ways, kept = rng.integers(0, 4, (GAMES, 3)), [[] for _ in range(GAMES)]
    seen, wrong = collections.Counter(), 0
    wanted = (("ally", EDGE), ("ally", SHOT), ("enemy", SHOT))
    while min(seen[kind] for kind in wanted) < 20:
        wishes = rng.random(view.legal_actions.shape)
        wishes[np.arange(GAMES)[:, None], np.arange(3), ways] += 0.6
        wishes[..., 5:] += 1.5 * (rng.random((GAMES, 3, 1)) < 0.95)
        actions = np.where(view.legal_actions, wishes, -1).argmax(-1)
        step = teams.step(actions)
        [positions] = (v for k, v in teams.get_state().items() if "unit_positions" in k)
        for game, now in zip(kept, positions, strict=True):
            game.append(now)
        ended = np.flatnonzero(step.done)
        for game, episode in zip(ended, recorder.record(actions, step), strict=True):
            battle = read_battle(episode.state, episode.actions)
            assert battle.edge_kills
            # After the last step the engine has the next battle's places.
            for unit, entry, x, y, cause in battle.deaths:
                if entry == len(episode):
                    continue
                place = kept[game][entry - 1][unit]
                truth = EDGE if ((place <= 0) | (place >= 32)).any() else SHOT
                seen["ally" if unit < 3 else "enemy", truth] += 1
                wrong += cause != truth
                assert cause != truth or np.abs(np.array([x, y]) - place / 32).max() < 0.08
            living = [i for i, cause in enumerate(battle.causes) if not cause]
            assert battle.alive[-1, living].all()
            kept[game], ways[game] = [], rng.integers(0, 4, 3)
        view = step.view
    # Seldom it is a close race between shots and the edge.
    assert wrong < 0.01 * seen.total()
