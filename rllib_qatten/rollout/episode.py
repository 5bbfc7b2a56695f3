"""A whole episode of one team, and the recorder that cuts games into such episodes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rllib_qatten.envs.team import TeamSpec, TeamStep, TeamView
from rllib_qatten.rollout.old_episode import OfArrays

#: Names of an episode's arrays.
ARRAYS = ("observations", "state", "legal_actions", "alive", "actions", "rewards")


@dataclass(eq=False, slots=True)
class TeamEpisode(OfArrays):
    """One game from its first to its last step, unpadded, in the smallest honest types.

    Entries 0..T are what the team saw, the last one after the final step.

    Attributes:
        observations: [T+1, N, O] float32.
        state: [T+1, S] float32.
        legal_actions: [T+1, N, A] bool.
        alive: [T+1, N] bool.
        actions: [T, N] uint8, or uint16 where there are more than 256 actions.
        rewards: [T] float32.
        terminated: Whether the game came to its own end; False if it was cut off.
        won: Whether the team won; None where games are not won or lost.
        weight: What its loss counts, in (0, 1]: set by the draw of a prioritized replay.
        dropped: Whether a fault of the engine ended it: good to learn from, but no result.
        id_: What callbacks know it by, if any listened to it.
        custom_data: What callbacks kept with it; gone once `on_sample_end` has seen it.
    """

    observations: np.ndarray
    state: np.ndarray
    legal_actions: np.ndarray
    alive: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    won: bool | None
    weight: float = 1.0
    dropped: bool = False
    id_: str | None = None
    custom_data: dict[Any, Any] | None = None

    def __len__(self) -> int:
        """T, the number of steps."""
        return len(self.rewards)

    def env_steps(self) -> int:
        """T, by the name RLlib's episodes use."""
        return len(self)

    def agent_steps(self) -> int:
        """T times N, by the name RLlib's episodes use."""
        return self.actions.size

    @property
    def is_done(self) -> bool:
        """True, by the name RLlib's episodes use: only whole games become episodes."""
        return True

    @property
    def is_terminated(self) -> bool:
        """Whether it came to its own end, by the name RLlib's episodes use."""
        return self.terminated

    @property
    def is_truncated(self) -> bool:
        """Whether it was cut off, by the name RLlib's episodes use."""
        return not self.terminated

    def get_return(self) -> float:
        """Undiscounted sum of the rewards, by the name RLlib's episodes use."""
        return self.episode_return

    def get_observations(self, indices: Any = None) -> np.ndarray:
        """[T+1, N, O], or some steps of it; to RLlib a team is one agent."""
        return self.observations if indices is None else self.observations[indices]

    def get_actions(self, indices: Any = None) -> np.ndarray:
        """[T, N], or some steps of it."""
        return self.actions if indices is None else self.actions[indices]

    def get_rewards(self, indices: Any = None) -> np.ndarray:
        """[T], or some steps of it."""
        return self.rewards if indices is None else self.rewards[indices]

    @property
    def episode_return(self) -> float:
        """Undiscounted sum of the rewards."""
        return float(self.rewards.sum(dtype=np.float64))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self, name).nbytes for name in ARRAYS)


def assert_finite(episode: TeamEpisode, engine: str) -> None:
    """Refuses an episode that cannot be learned from.

    Raises:
        FloatingPointError: If it holds NaN or infinity, naming the array and the step.
    """
    if where := not_finite(episode):
        raise FloatingPointError(
            f"The environment {engine} gave NaN or infinity {where}, or a number too large for "
            "float32. Training stops before it is learned from; the last checkpoint is intact."
        )


def not_finite(episode: TeamEpisode) -> str | None:
    """Where an episode holds NaN or infinity first, in words; None if nowhere."""
    for name in ("rewards", "observations", "state"):
        array = getattr(episode, name)
        bad = ~np.isfinite(array).all(tuple(range(1, array.ndim)))
        if bad.any():
            return f"in its {name} at step {int(bad.argmax())} of a game"
    return None


def action_dtype(n_actions: int) -> type[np.unsignedinteger]:
    """The smallest type that holds an action."""
    return np.uint8 if n_actions <= 256 else np.uint16


def entry_types(spec: TeamSpec) -> dict[str, tuple[tuple[int, ...], type[np.generic]]]:
    """Shape and type of one step's entry in each array of an episode."""
    n = spec.n_agents
    return {
        "observations": ((n, spec.observation_size), np.float32),
        "state": ((spec.state_size,), np.float32),
        "legal_actions": ((n, spec.n_actions), np.bool_),
        "alive": ((n,), np.bool_),
        "actions": ((n,), action_dtype(spec.n_actions)),
        "rewards": ((), np.float32),
    }


def bytes_per_entry(spec: TeamSpec) -> int:
    """Bytes that one step adds to an episode."""
    types = entry_types(spec).values()
    return sum(math.prod(shape) * dtype().nbytes for shape, dtype in types)


class Recorder:
    """Writes the steps of G games into arrays and cuts out each game when it ends.

    Args:
        spec: The team's sizes.
        num_games: G.
    """

    def __init__(self, spec: TeamSpec, num_games: int) -> None:
        """See class."""
        self._spec = spec
        self._games = np.arange(num_games)
        self._t = np.zeros(num_games, np.int64)
        self._arrays: dict[str, np.ndarray] = {}
        self._reserve((spec.episode_limit or 63) + 1)

    @property
    def steps(self) -> np.ndarray:
        """[G] how many steps of each game were played."""
        return self._t.copy()

    def begin(self, view: TeamView) -> None:
        """Starts all games with their first view; unfinished ones are forgotten."""
        self._t[:] = 0
        self._write(view, self._games)

    def record(self, actions: np.ndarray, step: TeamStep) -> list[TeamEpisode]:
        """Adds one step of every game.

        Args:
            actions: [G, N] int, the joint actions played.
            step: What they brought.

        Returns:
            The episodes of the games that ended with this step, in the order of the games; one
            that was dropped ends with its last good step and may have none.
        """
        arrays, games = self._arrays, self._games
        if self._t.max() + 2 > arrays["rewards"].shape[1]:
            self._reserve(2 * arrays["rewards"].shape[1])
            arrays = self._arrays
        arrays["actions"][games, self._t] = actions
        arrays["rewards"][games, self._t] = step.rewards
        self._t += ~step.dropped
        self._write(step.final, games)
        ended = np.flatnonzero(step.done)
        if not ended.size:
            return []
        episodes = [
            self._cut(g, bool(step.terminated[g]), bool(step.won[g]), bool(step.dropped[g]))
            for g in ended.tolist()
        ]
        self._t[ended] = 0
        self._write(step.view, ended)
        return episodes

    def get_state(self) -> dict[str, Any]:
        """The games under way as far as they were written."""
        entries = int(self._t.max()) + 1
        arrays = {name: array[:, :entries].copy() for name, array in self._arrays.items()}
        return {"t": self._t.copy(), "arrays": arrays}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues saved games."""
        self._t[:] = state["t"]
        entries = int(self._t.max()) + 1
        if entries > self._arrays["rewards"].shape[1]:
            self._reserve(entries)
        for name, array in state["arrays"].items():
            self._arrays[name][:, :entries] = array

    def _write(self, view: TeamView, games: np.ndarray) -> None:
        for name, array in vars(view).items():
            self._arrays[name][games, self._t[games]] = array[games]

    def _cut(self, g: int, terminated: bool, won: bool, dropped: bool) -> TeamEpisode:
        steps = int(self._t[g])
        parts: dict[str, Any] = {
            name: array[g, : steps + (name not in ("actions", "rewards"))].copy()
            for name, array in self._arrays.items()
        }
        won_or_not = won if self._spec.is_battle and not dropped else None
        return TeamEpisode(**parts, terminated=terminated, won=won_or_not, dropped=dropped)

    def _reserve(self, entries: int) -> None:
        """Makes room for games of this many entries, keeping what was written."""
        games = len(self._games)
        for name, (shape, dtype) in entry_types(self._spec).items():
            array: np.ndarray = np.empty((games, entries, *shape), dtype)
            if name in self._arrays:
                old = self._arrays[name]
                array[:, : old.shape[1]] = old
            self._arrays[name] = array
