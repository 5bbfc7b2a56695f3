"""SMAX's battles as compiled functions over arrays of games.

JAX and jaxmarl are imported when the first engine is built, never with the package.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import sys
from typing import Any

import numpy as np

from rllib_qatten.envs.battles.armies import Armies
from rllib_qatten.envs.battles.smax_battle import UNIT_FEATURES, unit_rows
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.files import cache_folder

#: SMAX pays 1 for all enemy health and 1 for the win; SMAC's scale is 20 in all.
REWARD_SCALE = 10.0
#: The packages that SMAX is in, the outer one first.
PACKAGES = ("jaxmarl", "jaxmarl.environments")


def _import_jax() -> tuple[Any, Any]:
    """JAX, on the CPU, with a compile cache per user, and of jaxmarl nothing but SMAX."""
    import jax

    # A JAX that sees a GPU would reserve most of it in every env runner.
    settings: Any = jax.config
    if not settings.jax_platforms:
        settings.update("jax_platforms", "cpu")
    if settings.jax_compilation_cache_dir is None:
        settings.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))
        settings.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        settings.update("jax_persistent_cache_min_entry_size_bytes", -1)
    for name in PACKAGES:
        _import_later(name)
    return jax, importlib.import_module(f"{PACKAGES[-1]}.smax")


def _import_later(name: str) -> None:
    """Imports a package whose own code runs at the first use of any of its names.

    jaxmarl's would import a dozen other environments, print, and reset sys.stdout: nine tenths of
    the processor's time for SMAX.
    """
    found = None if name in sys.modules else importlib.util.find_spec(name)
    if found is None or found.loader is None:
        return
    package, loader = importlib.util.module_from_spec(found), found.loader

    def load(attribute: str) -> Any:
        vars(package).pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, attribute)

    vars(package)["__getattr__"] = load
    sys.modules[name] = package
    outer, _, own = name.rpartition(".")
    if outer:
        setattr(sys.modules[outer], own, package)


class Engine:
    """The compiled functions of one battle and number of games, shared by a process's vectors.

    `reset(key)` gives a key, the games' state and their views; `step(key, state, actions)` the
    same with the views before games that ended were renewed, and what the step brought.

    Attributes:
        spec: The team's sizes and names.
        new_key: From a seed to a random key.
        compiled: Whether it was said that compiling takes a while.
    """

    def __init__(self, armies: Armies, num_games: int) -> None:
        """Builds the battle; nothing is compiled before the first call.

        Args:
            armies: Who fights whom.
            num_games: G.
        """
        self._jax, smax = _import_jax()
        self._jnp = jnp = self._jax.numpy
        self._num_games = num_games
        types = jnp.array(armies.allies + armies.enemies, dtype=jnp.uint8)
        sizes = len(armies.allies), len(armies.enemies)
        self._env = env = smax.HeuristicEnemySMAX(
            scenario=smax.Scenario(types, *sizes, armies.drawn, armies.drawn),
            # SMAX reads its clock before advancing it: a limit of k gives k + 1 steps.
            max_steps=armies.episode_limit - 1,
        )
        self._agents = tuple(env.agents)
        self.reset = self._jax.jit(self._reset)
        self.step = self._jax.jit(self._step)
        self.new_key = self._jax.random.PRNGKey
        self.compiled = False
        self.spec = TeamSpec(
            agents=self._agents,
            n_actions=env.num_ally_actions,
            observation_size=env.obs_size,
            state_size=sum(sizes) * UNIT_FEATURES,
            unit_features=slice(0, sizes[0] * UNIT_FEATURES),
            unit_types=None if armies.drawn else armies.allies,
            is_battle=True,
            engine=f"smax (jaxmarl {importlib.metadata.version('jaxmarl')})",
            episode_limit=armies.episode_limit,
            entities=unit_rows(*sizes),
        )

    def named(self, key: Any, state: Any) -> dict[str, np.ndarray]:
        """The random key and every array of the games, by name."""
        named = self._paths({"key": key, "state": state})
        return {name: np.asarray(leaf) for name, leaf in named}

    def rebuilt(self, arrays: dict[str, np.ndarray]) -> tuple[Any, Any]:
        """Key and state from what `named` gave.

        Raises:
            ValueError: If it is of another battle, number of games or version.
        """
        tree = self._jax.tree
        key, state, _ = self._jax.eval_shape(self.reset, self.new_key(0))
        like = {"key": key, "state": state}
        wanted = {name: (x.shape, x.dtype) for name, x in self._paths(like)}
        if list(wanted.items()) != [(name, (x.shape, x.dtype)) for name, x in arrays.items()]:
            raise ValueError("The saved battles are of another map, number or version of SMAX.")
        leaves = [self._jnp.asarray(x) for x in arrays.values()]
        both = tree.unflatten(tree.structure(like), leaves)
        return both["key"], both["state"]

    def _paths(self, tree: Any) -> list[tuple[str, Any]]:
        leaves = self._jax.tree_util.tree_leaves_with_path(tree)
        return [(self._jax.tree_util.keystr(path), leaf) for path, leaf in leaves]

    def _view(self, obs: Any, state: Any) -> dict[str, Any]:
        """One game's arrays of a `TeamView`."""
        jnp, env, battle = self._jnp, self._env, state.state
        units = env.num_allies + env.num_enemies
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
            "observations": jnp.stack([obs[a] for a in self._agents]),
            "state": scaled.reshape(-1),
            "legal_actions": jnp.stack([legal[a] for a in self._agents]).astype(bool),
            "alive": battle.unit_alive[: env.num_allies],
        }

    def _typed(self, state: Any) -> Any:
        # Weakly typed leaves would come back strongly typed, and a step be compiled twice.
        convert = self._jax.lax.convert_element_type
        return self._jax.tree.map(lambda x: convert(x, x.dtype), state)

    def _reset_one(self, key: Any) -> tuple[Any, dict[str, Any]]:
        obs, state = self._env.reset(key)
        return self._typed(state), self._view(obs, state)

    def _step_one(self, key: Any, state: Any, actions: Any) -> tuple[Any, ...]:
        joint = {agent: actions[i] for i, agent in enumerate(self._agents)}
        obs, state, rewards, dones, _ = self._env.step_env(key, state, joint)
        alive, n = state.state.unit_alive, self._env.num_allies
        allies, enemies = alive[:n].any(), alive[n:].any()
        terminated = ~allies | ~enemies
        return (
            self._typed(state),
            self._view(obs, state),
            rewards[self._agents[0]] * REWARD_SCALE,
            terminated,
            dones["__all__"] & ~terminated,
            allies & ~enemies,
        )

    def _reset(self, key: Any) -> Any:
        key, games = self._jax.random.split(key)
        return key, *self._renewed(games)

    def _renewed(self, key: Any) -> Any:
        """New battles in all games."""
        keys = self._jax.random.split(key, self._num_games)
        return self._jax.vmap(self._reset_one)(keys)

    def _step(self, key: Any, state: Any, actions: Any) -> Any:
        jax = self._jax
        key, games, resets = jax.random.split(key, 3)
        keys = jax.random.split(games, self._num_games)
        state, final, *outcome = jax.vmap(self._step_one)(keys, state, actions)
        done = outcome[1] | outcome[2]

        def where_done(new: Any, old: Any) -> Any:
            return self._jnp.where(done.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        # Outside the vmap, so that a reset is computed only when some game ended.
        state, current = jax.lax.cond(
            done.any(),
            lambda: jax.tree.map(where_done, self._renewed(resets), (state, final)),
            lambda: (state, final),
        )
        return key, state, current, final, outcome


@functools.lru_cache(maxsize=8)
def engine(armies: Armies, num_games: int) -> Engine:
    """The engine of a battle, built once in a process."""
    return Engine(armies, num_games)
