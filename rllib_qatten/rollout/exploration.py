"""Epsilon-greedy exploration over legal actions, annealed on environment steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Added to the utilities of illegal actions: finite, so that arithmetic never sees infinity.
ILLEGAL = np.float32(-1e10)


@dataclass(frozen=True)
class EpsilonSchedule:
    """Epsilon falls linearly from `initial` to `final` over `steps` env steps, then stays.

    Raises:
        ValueError: If an epsilon is no probability or `steps` is not positive.
    """

    initial: float
    final: float
    steps: int

    def __post_init__(self) -> None:
        """Checks the ranges."""
        for name, value in (("epsilon_initial", self.initial), ("epsilon_final", self.final)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must lie in [0, 1]; got {value}.")
        if self.steps < 1:
            raise ValueError(f"epsilon_anneal_steps must be 1 or more; got {self.steps}.")

    def __call__(self, env_steps: int) -> float:
        """Epsilon after so many env steps."""
        done = min(env_steps / self.steps, 1.0)
        return self.initial + done * (self.final - self.initial)


def greedy(utilities: np.ndarray, legal_actions: np.ndarray) -> np.ndarray:
    """Each agent's best legal action.

    Args:
        utilities: [..., A] float.
        legal_actions: [..., A] bool; where none is legal, action 0 comes out.

    Returns:
        [...] int.
    """
    return np.where(legal_actions, utilities, ILLEGAL).argmax(-1)


def epsilon_greedy(
    utilities: np.ndarray,
    legal_actions: np.ndarray,
    epsilon: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Greedy actions, each agent's replaced by a uniform legal one with probability epsilon.

    Args:
        utilities: [..., A] float.
        legal_actions: [..., A] bool.
        epsilon: Per agent and step.
        rng: Drawn from in the same amount whatever is chosen, so that runs stay comparable.

    Returns:
        [...] int.
    """
    chosen = greedy(utilities, legal_actions)
    explores = rng.random(chosen.shape, np.float32) < epsilon
    noise = rng.random(legal_actions.shape, np.float32)
    return np.where(explores, np.where(legal_actions, noise, -1).argmax(-1), chosen)
