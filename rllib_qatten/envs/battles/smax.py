"""SMAX, the engine-free battles of JaxMARL, as a vector of teams.

Not StarCraft II: the maps have SMAC's names and armies, the dynamics and the scripted enemy are
SMAX's own. Say "SMAX win rate", never "SMAC win rate". All games advance in one compiled call;
JAX and jaxmarl are imported when the first engine is built, never with the package.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import io
import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from rllib_qatten.envs.team import TeamSpec, TeamStep, TeamVector, TeamView
from rllib_qatten.messages import say

#: Steps after which a battle is cut off: SMAC's limit per map; for smacv2_* SMACv2's 200.
EPISODE_LIMITS = {
    "3m": 60,
    "8m": 120,
    "25m": 150,
    "2s3z": 120,
    "3s5z": 150,
    "5m_vs_6m": 70,
    "10m_vs_11m": 150,
    "27m_vs_30m": 180,
    "3s5z_vs_3s6z": 170,
    "3s_vs_5z": 250,
    "6h_vs_8z": 150,
    "smacv2_5_units": 200,
    "smacv2_10_units": 200,
    "smacv2_20_units": 200,
}
#: Numbers per unit in the state: health, x, y, weapon cooldown, six type bits.
UNIT_FEATURES = 10
#: SMAX pays 1 for all enemy health and 1 for the win; SMAC's scale is 20 in all.
REWARD_SCALE = 10.0
HOW_TO_INSTALL = (
    "The engine-free battles need the extra 'smax', which is not installed: "
    "pip install 'rllib-qatten[smax]'"
)


def installed() -> bool:
    """Whether the extra `smax` is installed; imports nothing."""
    return importlib.util.find_spec("jaxmarl") is not None


def _import_jax() -> tuple[Any, Any]:
    """JAX and jaxmarl's SMAX, imported silently, on the CPU, with a compile cache per user."""
    import jax

    # A JAX that sees a GPU would reserve most of it in every env runner.
    settings: Any = jax.config
    if not settings.jax_platforms:
        settings.update("jax_platforms", "cpu")
    if settings.jax_compilation_cache_dir is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        settings.update("jax_compilation_cache_dir", str(cache / "rllib_qatten" / "jax"))
        settings.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        settings.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # jaxmarl prints while it is imported, and one of its modules resets sys.stdout and sys.stderr.
    quiet, errors = io.StringIO(), sys.stderr
    with mock.patch.multiple(sys, stdout=quiet, __stdout__=quiet, stderr=errors, __stderr__=errors):
        from jaxmarl.environments import smax
    return jax, smax


class _Engine:
    """The compiled functions of one map and number of games, shared by all vectors of a process."""

    def __init__(self, map_name: str, num_games: int) -> None:
        jax, smax = _import_jax()
        jnp = jax.numpy
        limit = EPISODE_LIMITS[map_name]
        scenario = smax.map_name_to_scenario(map_name)
        env = smax.HeuristicEnemySMAX(
            scenario=scenario,
            # SMAX reads its clock before advancing it: a limit of k gives k + 1 steps.
            max_steps=limit - 1,
        )
        n, units = env.num_allies, env.num_allies + env.num_enemies
        agents = tuple(env.agents)

        def view(obs: Any, state: Any) -> dict[str, Any]:
            battle = state.state
            features = obs["world_state"][: units * UNIT_FEATURES].reshape(units, UNIT_FEATURES)
            longest = env.unit_type_weapon_cooldowns[battle.unit_types]
            # The world state is raw: positions run to 32 and idle cooldowns fall without end.
            scaled = jnp.concatenate(
                [
                    features[:, :1],
                    features[:, 1:3] / jnp.array([env.map_width, env.map_height]),
                    (jnp.maximum(features[:, 3], 0) / longest)[:, None],
                    features[:, 4:],
                ],
                axis=1,
            )
            legal = env.get_avail_actions(state)
            return {
                "observations": jnp.stack([obs[a] for a in agents]),
                "state": scaled.reshape(-1),
                "legal_actions": jnp.stack([legal[a] for a in agents]).astype(bool),
                "alive": battle.unit_alive[:n],
            }

        def typed(state: Any) -> Any:
            # Weakly typed leaves would come back strongly typed, and a step be compiled twice.
            return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), state)

        def reset_one(key: Any) -> tuple[Any, dict[str, Any]]:
            obs, state = env.reset(key)
            return typed(state), view(obs, state)

        def step_one(key: Any, state: Any, actions: Any) -> tuple[Any, ...]:
            obs, state, rewards, dones, _ = env.step_env(
                key, state, {a: actions[i] for i, a in enumerate(agents)}
            )
            allies = state.state.unit_alive[:n].any()
            enemies = state.state.unit_alive[n:].any()
            terminated = ~allies | ~enemies
            return (
                typed(state),
                view(obs, state),
                rewards[agents[0]] * REWARD_SCALE,
                terminated,
                dones["__all__"] & ~terminated,
                allies & ~enemies,
            )

        @jax.jit
        def reset(key: Any) -> Any:
            key, games = jax.random.split(key)
            return key, *jax.vmap(reset_one)(jax.random.split(games, num_games))

        @jax.jit
        def step(key: Any, state: Any, actions: Any) -> Any:
            key, games, resets = jax.random.split(key, 3)
            state, final, *outcome = jax.vmap(step_one)(
                jax.random.split(games, num_games), state, actions
            )
            done = outcome[1] | outcome[2]

            def renew() -> Any:
                fresh = jax.vmap(reset_one)(jax.random.split(resets, num_games))
                return jax.tree.map(
                    lambda new, old: jnp.where(done.reshape(-1, *[1] * (new.ndim - 1)), new, old),
                    fresh,
                    (state, final),
                )

            # Outside the vmap, so that a reset is computed only when some game ended.
            state, current = jax.lax.cond(done.any(), renew, lambda: (state, final))
            return key, state, current, final, outcome

        def named(key: Any, state: Any) -> dict[str, np.ndarray]:
            leaves = jax.tree_util.tree_leaves_with_path({"key": key, "state": state})
            return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}

        def rebuilt(arrays: dict[str, np.ndarray]) -> tuple[Any, Any]:
            key, state, _ = jax.eval_shape(reset, jax.random.PRNGKey(0))
            like = {"key": key, "state": state}
            names = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(like)]
            leaves, tree = jax.tree.flatten(like)
            if [(n, x.shape, x.dtype) for n, x in zip(names, leaves, strict=True)] != [
                (n, x.shape, x.dtype) for n, x in arrays.items()
            ]:
                raise ValueError("The saved battles are of another map, number or version of SMAX.")
            both = jax.tree.unflatten(tree, [jnp.asarray(x) for x in arrays.values()])
            return both["key"], both["state"]

        self.reset, self.step, self.new_key = reset, step, jax.random.PRNGKey
        self.named, self.rebuilt = named, rebuilt
        self.compiled = False
        self.spec = TeamSpec(
            agents=agents,
            n_actions=env.num_ally_actions,
            observation_size=env.obs_size,
            state_size=units * UNIT_FEATURES,
            unit_features=slice(0, n * UNIT_FEATURES),
            # Elsewhere every game draws its armies.
            unit_types=None
            if scenario.smacv2_unit_type_generation
            else tuple(scenario.unit_types[:n].tolist()),
            is_battle=True,
            engine=f"smax (jaxmarl {importlib.metadata.version('jaxmarl')})",
            episode_limit=limit,
        )


@functools.lru_cache(maxsize=8)
def _engine(map_name: str, num_games: int) -> _Engine:
    return _Engine(map_name, num_games)


class SMAXTeams(TeamVector):
    """G battles on one SMAX map against the scripted enemy.

    Actions: 0 to 3 move, 4 stop (all a dead unit can do), 5 + j attack enemy j. Rewards are on
    SMAC's scale: enemy health lost, 10 in all, and 10 for the win. A battle is won when all enemies
    are dead and an ally lives, lost when all allies are dead, truncated at the map's time limit.
    """

    def __init__(self, map_name: str, num_games: int = 1) -> None:
        """Builds the games; the first reset compiles them.

        Args:
            map_name: One of `EPISODE_LIMITS`.
            num_games: G; every new number is compiled anew.
        """
        self._map_name = map_name
        self._engine = _engine(map_name, num_games)
        super().__init__(self._engine.spec, num_games)
        self.one_core = True
        self._key = self._engine.new_key(int.from_bytes(os.urandom(4), "little"))
        self._state: Any = None

    def reset(self, seed: int | None = None) -> TeamView:
        """See base class."""
        self._say_that_it_compiles()
        if seed is not None:
            self._key = self._engine.new_key(seed)
        self._key, self._state, view = self._engine.reset(self._key)
        return _to_numpy(view)

    def get_state(self) -> dict[str, np.ndarray] | None:
        """The random key and every array of the battles, by name."""
        return self._engine.named(self._key, self._state)

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """See base class."""
        self._say_that_it_compiles()
        self._key, self._state = self._engine.rebuilt(state)

    def _say_that_it_compiles(self) -> None:
        if not self._engine.compiled:
            say(
                f"Compiling {self.num_games} game(s) of {self._map_name} for SMAX "
                "(10-20 s the first time, then from the cache) ..."
            )
            self._engine.compiled = True

    def step(self, actions: np.ndarray) -> TeamStep:
        """See base class."""
        self._key, self._state, current, final, outcome = self._engine.step(
            self._key, self._state, np.ascontiguousarray(actions, np.int32)
        )
        rewards, terminated, truncated, won = map(np.asarray, outcome)
        before = _to_numpy(final)
        after = _to_numpy(current) if (terminated | truncated).any() else before
        return TeamStep(rewards, terminated, truncated, won, final=before, view=after)


def _to_numpy(view: dict[str, Any]) -> TeamView:
    # Copies: JAX's own arrays are read-only, and torch wants to share what it is given.
    return TeamView(**{name: np.array(array) for name, array in view.items()})
