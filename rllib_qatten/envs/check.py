"""A checker that says what is wrong with a team environment, in which agent, and the fix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.looped import ACTION_MASK, OBSERVATIONS, split_space
from rllib_qatten.envs.team import COMMON

#: Steps of a random game that the checker looks at.
STEPS = 50


class TeamContractError(ValueError):
    """An environment breaks the team contract."""


def check_env(env: MultiAgentEnv, *, team_reward: str = "equal", seed: int = 0) -> None:
    """Plays a random game and checks every part of the team contract on the way.

    Args:
        env: The environment; it is reset, played and left in mid-game.
        team_reward: How unlike rewards are joined; only "equal" makes them a fault.
        seed: Of the reset and of the random legal actions.

    Raises:
        TeamContractError: With all that was found wrong, agent by agent, and how to mend it.
    """
    faults = list(_declared(env))
    if not faults:
        faults = list(dict.fromkeys(_played(env, team_reward, seed)))
    if faults:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        raise TeamContractError(f"{type(env).__name__} is no team environment:\n{lines}")


def _declared(env: Any) -> Iterator[str]:
    """Faults in what the env declares."""
    if not isinstance(env, MultiAgentEnv):
        yield (
            f"it is a {type(env).__name__}, not a MultiAgentEnv: "
            "subclass ray.rllib.env.multi_agent_env.MultiAgentEnv"
        )
        return
    agents = getattr(env, "possible_agents", None)
    if not agents:
        yield "possible_agents is missing or empty: set it in __init__ to the list of all agents"
        return
    if len(set(agents)) != len(agents):
        yield f"possible_agents names an agent twice: {list(agents)}"
    observations = getattr(env, "observation_spaces", None) or {}
    actions = getattr(env, "action_spaces", None) or {}
    for agent in agents:
        if agent not in observations:
            yield f"agent {agent!r} has no entry in observation_spaces: add its space"
        elif not _flattens(split_space(observations[agent])[0]):
            yield (
                f"agent {agent!r} has the observation space {observations[agent]}, which has no "
                "fixed length: use a Box, or a Dict of 'observations' and 'action_mask'"
            )
        if agent not in actions:
            yield f"agent {agent!r} has no entry in action_spaces: add a Discrete"
        elif not isinstance(actions[agent], gym.spaces.Discrete) or actions[agent].start != 0:
            yield (
                f"agent {agent!r} has the action space {actions[agent]}: value decomposition needs "
                "a Discrete starting at 0; discretise or flatten the actions"
            )
    yield from _unit_types(env, len(agents))
    if hasattr(env, "state"):
        space = getattr(env, "state_space", None)
        if space is None or not _flattens(space):
            yield (
                f"it has a state() but its state_space is {space}: "
                "set state_space to the Box that state() returns"
            )
        else:
            yield from _unit_features(env, gym.spaces.flatdim(space), len(agents))
    elif getattr(env, "unit_features", None) is not None:
        yield "it declares unit_features, a slice of the state, but has no state(): add one"


def _unit_features(env: Any, state_size: int, n_agents: int) -> Iterator[str]:
    part = getattr(env, "unit_features", None)
    if part is None:
        return
    if (
        not isinstance(part, slice)
        or part.step not in (None, 1)
        or not isinstance(part.start, int)
        or not isinstance(part.stop, int)
        or not 0 <= part.start < part.stop <= state_size
        or (part.stop - part.start) % n_agents
    ):
        yield (
            f"unit_features is {part!r}: it must be slice(start, stop) within the state's "
            f"{state_size} entries, with equally many features for each of the {n_agents} agents"
        )


def _unit_types(env: Any, n_agents: int) -> Iterator[str]:
    types = getattr(env, "unit_types", None)
    if types is None:
        return
    kinds = list(types) if isinstance(types, Sequence | np.ndarray) else []
    if len(kinds) != n_agents or not all(isinstance(kind, Integral) for kind in kinds):
        yield (
            f"unit_types is {types!r}: it must be a whole number for each of the {n_agents} "
            "agents, the same for agents of one type, or None if types change from game to game"
        )


def _flattens(space: gym.Space) -> bool:
    try:
        gym.spaces.flatdim(space)
    except (ValueError, NotImplementedError):
        return False
    return bool(space.is_np_flattenable)


def _played(env: MultiAgentEnv, team_reward: str, seed: int) -> Iterator[str]:
    """Faults that show in a random game."""
    rng = np.random.default_rng(seed)
    answer = env.reset(seed=seed)
    if not isinstance(answer, tuple) or len(answer) != 2:
        yield f"reset() returned {type(answer).__name__}: return (observations, infos)"
        return
    observations, _ = answer
    for step in range(STEPS):
        where = f"after step {step}" if step else "after reset()"
        faults = list(_seen(env, observations, where))
        yield from faults
        if faults:
            return
        joint = {
            agent: int(rng.choice(np.flatnonzero(_mask(env, agent, observations[agent]))))
            for agent in env.possible_agents
        }
        answer = env.step(joint)
        if not isinstance(answer, tuple) or len(answer) != 5:
            yield (
                f"step() returned {type(answer).__name__} of other than five parts: return "
                "(observations, rewards, terminateds, truncateds, infos)"
            )
            return
        observations, rewards, terminateds, truncateds, infos = answer
        faults = list(_answered(env, rewards, terminateds, truncateds, infos, team_reward))
        yield from faults
        if faults:
            return
        if terminateds["__all__"] or truncateds["__all__"]:
            yield from _seen(env, observations, "at the end of the game", last=True)
            return


def _seen(env: MultiAgentEnv, observations: dict, where: str, last: bool = False) -> Iterator[str]:
    for agent in env.possible_agents:
        if agent not in observations:
            yield (
                f"agent {agent!r} has no observation {where}: every agent must be seen at every "
                "step until the game ends; give a dead one zeros and one legal action"
            )
            continue
        space, seen = env.observation_spaces[agent], observations[agent]
        plain, masked = split_space(space)
        if masked and (not isinstance(seen, dict) or ACTION_MASK not in seen):
            yield f"agent {agent!r} declares an 'action_mask' but {where} brought none"
            continue
        if isinstance(seen, dict) and OBSERVATIONS in seen:
            seen = seen[OBSERVATIONS]
        expected = getattr(plain, "shape", None)
        if expected is not None and np.shape(seen) != expected:
            yield (
                f"agent {agent!r} observed shape {np.shape(seen)} {where}, "
                f"its space says {expected}"
            )
        elif expected is not None and not np.isfinite(np.asarray(seen, np.float64)).all():
            yield f"agent {agent!r} observed NaN or infinity {where}"
        mask = _mask(env, agent, observations[agent])
        if mask.shape != (env.action_spaces[agent].n,):
            yield (
                f"agent {agent!r} has an action_mask of shape {mask.shape} {where}, "
                f"its action space has {env.action_spaces[agent].n} actions"
            )
        elif not mask.any() and not last:
            yield (
                f"agent {agent!r} has no legal action {where}: leave one, for a dead agent a no-op"
            )
    if hasattr(env, "state"):
        state = np.asarray(env.state())
        if state.shape != env.state_space.shape:
            yield f"state() has shape {state.shape} {where}, state_space {env.state_space.shape}"
        elif not np.isfinite(state).all():
            yield f"state() holds NaN or infinity {where}"


def _mask(env: MultiAgentEnv, agent: str, seen: Any) -> np.ndarray:
    if isinstance(seen, dict) and ACTION_MASK in seen:
        return np.asarray(seen[ACTION_MASK]).astype(bool)
    return np.ones(int(env.action_spaces[agent].n), bool)


def _answered(
    env: MultiAgentEnv,
    rewards: dict,
    terminateds: dict,
    truncateds: dict,
    infos: dict,
    team_reward: str,
) -> Iterator[str]:
    for name, flags in (("terminateds", terminateds), ("truncateds", truncateds)):
        if "__all__" not in flags:
            yield f"step()'s {name} lack '__all__': set it to whether the game is over"
    missing = [agent for agent in env.possible_agents if agent not in rewards]
    if missing:
        yield f"agent {missing[0]!r} got no reward: give every agent the team's reward"
        return
    values = {agent: float(rewards[agent]) for agent in env.possible_agents}
    bad = [agent for agent, value in values.items() if not np.isfinite(value)]
    if bad:
        yield f"agent {bad[0]!r} got the reward {values[bad[0]]}: rewards must be finite"
    elif team_reward == "equal" and len(set(values.values())) > 1:
        yield (
            f"the agents got different rewards, {values}, but a team has one: give all the same, "
            "or set team_reward: sum or mean in the config"
        )
    unknown = set(infos) - set(env.possible_agents) - {COMMON}
    if unknown:
        yield f"infos hold {sorted(map(str, unknown))}, which are no agents"
