"""Epsilon-greedy exploration over legal actions, annealed on environment steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Added to the utilities of illegal actions: finite, so that arithmetic never sees infinity.
ILLEGAL = np.float32(-1e10)


class EpsilonSchedule:
    """Epsilon over environment steps, in RLlib's notation for schedules.

    Args:
        schedule: A number, or [[env steps, epsilon], ...] from 0 env steps on: linear in between,
            the last value thereafter.
        name: What is scheduled, for the message.

    Raises:
        ValueError: If that is not what came, or an epsilon is not a probability.
    """

    def __init__(self, schedule: float | Sequence[Sequence[float]], name: str = "epsilon") -> None:
        """See class."""
        try:
            points = [[0, schedule]] if isinstance(schedule, int | float) else schedule
            self._steps, self._values = np.array(points, float).T
            good = (
                not isinstance(schedule, bool)
                and np.isfinite(self._steps).all()
                and self._steps[0] == 0
                and (np.diff(self._steps) > 0).all()
                and ((self._values >= 0) & (self._values <= 1)).all()
            )
        except (TypeError, ValueError, IndexError):
            good = False
        if not good:
            raise ValueError(
                f"{name} must be a number in [0, 1], or a schedule [[0, {name}], [env steps, "
                f"{name}], ...] of such numbers with rising env steps; got {schedule!r}."
            )

    def __call__(self, env_steps: int) -> float:
        """Epsilon after this many env steps."""
        return float(np.interp(env_steps, self._steps, self._values))


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
