"""A checker that says what is wrong with a team environment, in which agent, and the fix."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.adapters.team_env import as_team_env
from rllib_qatten.envs.python_teams import leavers, mask_key, plain_space
from rllib_qatten.envs.team import ACTION_MASK, COMMON, OBSERVATION_KEYS, TeamContractError

#: Steps of random games that the checker looks at, if they take no longer than so many seconds.
STEPS, SECONDS = 200, 5.0


def check_env(env: Any, *, team_reward: str = "equal", seed: int = 0) -> None:
    """Plays random games and checks every part of the team contract on the way.

    Args:
        env: A `MultiAgentEnv`, a PettingZoo `ParallelEnv`, or a gymnasium env with Tuple spaces; it
            is reset, played and left in mid-game.
        team_reward: How unlike rewards are joined; only "equal" makes them a fault.
        seed: Of the reset and of the random legal actions.

    Raises:
        TeamContractError: With all that was found wrong, agent by agent, and how to mend it.
    """
    team = as_team_env(env)
    faults = list(_declared(team)) or _played(team, team_reward, seed)
    if faults:
        raise TeamContractError.of(env, *faults)


def _declared(env: Any) -> Iterator[str]:
    """Faults in what the env declares."""
    agents = getattr(env, "possible_agents", None)
    if not agents:
        yield "possible_agents is missing or empty: set it in __init__ to the list of all agents"
        return
    if len(set(agents)) != len(agents):
        yield f"possible_agents names an agent twice, {list(agents)}: name each once"
    observations = getattr(env, "observation_spaces", None) or {}
    actions = getattr(env, "action_spaces", None) or {}
    for agent in agents:
        if agent not in actions:
            yield f"agent {agent!r} has no entry in action_spaces: add a Discrete"
        elif not isinstance(actions[agent], gym.spaces.Discrete) or actions[agent].start != 0:
            yield (
                f"agent {agent!r} has the action space {actions[agent]}: value decomposition takes "
                "the best of finitely many actions and needs a Discrete starting at 0; discretize "
                "or flatten the actions"
            )
        if agent not in observations:
            yield f"agent {agent!r} has no entry in observation_spaces: add its space"
        else:
            yield from _observation_space(agent, observations[agent], actions.get(agent))
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


def _observation_space(agent: str, space: gym.Space, actions: Any) -> Iterator[str]:
    if isinstance(space, gym.spaces.Dict) and ACTION_MASK in space.spaces:
        if mask_key(space) is None:
            yield (
                f"agent {agent!r} has an observation space with 'action_mask' beside "
                f"{sorted(set(space) - {ACTION_MASK})}: name the observation 'observations'"
            )
            return
        shape = space[ACTION_MASK].shape
        if isinstance(actions, gym.spaces.Discrete) and shape != (actions.n,):
            yield (
                f"agent {agent!r} declares an 'action_mask' of shape {shape} for {actions.n} "
                f"actions: give it one entry an action, MultiBinary({actions.n})"
            )
    if not _flattens(plain_space(space)):
        yield (
            f"agent {agent!r} has the observation space {space}, which has no "
            "fixed length: use a Box, or a Dict of 'observations' and 'action_mask'"
        )


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


def _played(env: MultiAgentEnv, team_reward: str, seed: int) -> list[str]:
    """The first faults that show in random games, one game after the other."""
    rng = np.random.default_rng(seed)
    until = time.monotonic() + SECONDS
    over = True
    for step in range(STEPS):
        if over:
            t, left = 0, set[str]()
            try:
                answer: Any = env.reset(seed=None if step else seed)
            except Exception as error:  # a user's env may raise anything
                return [f"reset() raised {type(error).__name__}: {error}; mend reset()"]
            if not isinstance(answer, tuple) or len(answer) != 2:
                return [f"reset() returned {type(answer).__name__}: return (observations, infos)"]
            observations, infos = answer
            if faults := list(_seen(env, observations, infos, left, "after reset()")):
                return faults
        joint = {
            agent: int(rng.choice(np.flatnonzero(_mask(env, agent, observations, infos))))
            for agent in env.possible_agents
            if agent not in left
        }
        try:
            answer = env.step(joint)
        except Exception as error:
            return [
                f"step({joint}) raised {type(error).__name__}: {error}; mend step(), which gets an "
                "action of every agent that has not left"
            ]
        if not isinstance(answer, tuple) or len(answer) != 5:
            return [
                f"step() returned {type(answer).__name__} of other than five parts: return "
                "(observations, rewards, terminateds, truncateds, infos)"
            ]
        if faults := list(_answered(env, answer, left, team_reward)):
            return faults
        observations, _, terminateds, truncateds, infos = answer
        t += 1
        over = bool(terminateds["__all__"] or truncateds["__all__"])
        left |= leavers(terminateds, truncateds) - (observations.keys() if over else set())
        where = f"after step {t}" + ", the game's last" * over
        if faults := list(_seen(env, observations, infos, left, where, last=over)):
            return faults
        if time.monotonic() > until:
            break
    return []


def _seen(
    env: MultiAgentEnv, seen: dict, infos: dict, left: set[str], where: str, last: bool = False
) -> Iterator[str]:
    """Faults in the observations, masks and state at one time."""
    unknown = seen.keys() - set(env.possible_agents)
    if unknown:
        yield (
            f"observations hold {sorted(map(str, unknown))} {where}, which are no agents: "
            "add them to possible_agents or leave them out"
        )
    for agent in env.possible_agents:
        if agent in left:
            continue
        if agent not in seen:
            yield (
                f"agent {agent!r} has no observation {where} and has not left: return one at every "
                "step, for a dead agent zeros and one legal action, or set its terminateds entry "
                "to True when it leaves"
            )
            continue
        space = env.observation_spaces[agent]
        plain, key, own = plain_space(space), mask_key(space), seen[agent]
        if key is not None and (not isinstance(own, dict) or not {key, ACTION_MASK} <= own.keys()):
            brought = sorted(own) if isinstance(own, dict) else type(own).__name__
            yield (
                f"agent {agent!r} declares {key!r} and 'action_mask' but {where} brought "
                f"{brought}: return a dict of both"
            )
            continue
        value = own if key is None else own[key]
        expected = getattr(plain, "shape", None)
        if expected is not None and np.shape(value) != expected:
            hint = ""
            if isinstance(value, dict) and set(OBSERVATION_KEYS) & value.keys():
                hint = " (for a mask, declare a Dict of 'observations' and 'action_mask')"
            yield (
                f"agent {agent!r} observed shape {np.shape(value)} {where}, its space says "
                f"{expected}: return that shape or correct observation_spaces{hint}"
            )
        elif expected is not None and not np.isfinite(np.asarray(value, np.float64)).all():
            yield (
                f"agent {agent!r} observed NaN or infinity {where}: networks need finite "
                "observations; look for a division by zero"
            )
        mask, n = _mask(env, agent, seen, infos), int(env.action_spaces[agent].n)
        if mask.shape != (n,):
            yield (
                f"agent {agent!r} has an action_mask of shape {mask.shape} {where}, its action "
                f"space has {n} actions: give the mask one entry an action"
            )
        elif not mask.any() and not last:
            yield (
                f"agent {agent!r} has no legal action in its action_mask {where}: leave one, for a "
                "dead agent a no-op"
            )
    if hasattr(env, "state"):
        state = np.asarray(env.state())
        if state.shape != env.state_space.shape:
            yield (
                f"state() has shape {state.shape} {where}, state_space {env.state_space.shape}: "
                "make them agree"
            )
        elif not np.isfinite(state).all():
            yield f"state() holds NaN or infinity {where}: the mixer needs finite numbers"


def _mask(env: MultiAgentEnv, agent: str, observations: dict, infos: dict) -> np.ndarray:
    """An agent's legal actions, from its observation or its infos."""
    if mask_key(env.observation_spaces[agent]) is not None:
        return np.asarray(observations[agent][ACTION_MASK]).astype(bool)
    mask = infos.get(agent, {}).get(ACTION_MASK)
    if mask is not None:
        return np.asarray(mask).astype(bool)
    return np.ones(int(env.action_spaces[agent].n), bool)


def _answered(
    env: MultiAgentEnv, answer: tuple[dict, ...], left: set[str], team_reward: str
) -> Iterator[str]:
    """Faults in a step's rewards, flags and infos."""
    _, rewards, terminateds, truncateds, infos = answer
    for name, flags in (("terminateds", terminateds), ("truncateds", truncateds)):
        if not isinstance(flags, dict) or "__all__" not in flags:
            yield (
                f"step()'s {name} lack '__all__': return a dict with it, set to whether the game "
                "is over"
            )
            return
    over = terminateds["__all__"] or truncateds["__all__"]
    if not over and left | leavers(terminateds, truncateds) >= set(env.possible_agents):
        yield (
            "all agents have left, but neither terminateds nor truncateds set '__all__': set it to "
            "True when the last agent leaves"
        )
    played = [agent for agent in env.possible_agents if agent not in left]
    missing = [agent for agent in played if agent not in rewards]
    if missing:
        yield f"agent {missing[0]!r} has no entry in rewards: give every agent the team's reward"
        return
    values = {}
    for agent in played:
        try:
            values[agent] = float(rewards[agent])
        except (TypeError, ValueError):
            values[agent] = float("nan")
        if not np.isfinite(values[agent]):
            yield f"agent {agent!r} got the reward {rewards[agent]!r}: return a finite number"
            return
    if team_reward == "equal" and len(set(values.values())) > 1:
        yield (
            f"the agents got different rewards, {values}, but a team has one: give all the same, "
            "or set team_reward: sum or mean in the config"
        )
    unknown = set(infos) - set(env.possible_agents) - {COMMON}
    if unknown:
        yield (
            f"infos hold {sorted(map(str, unknown))}, which are no agents: put what concerns the "
            f"whole team in infos['{COMMON}']"
        )
