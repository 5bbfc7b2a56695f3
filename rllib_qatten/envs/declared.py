"""What an environment declares about its team, used only where it means what the contract means.

An env is a user's class: `state` may be an array, `engine` a physics engine. What is plainly
something else is left alone; what may be meant for the contract but breaks it is a fault.
"""

from __future__ import annotations

import dis
import inspect
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from types import FunctionType
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import ENV_STATE, MultiAgentEnv

from rllib_qatten.agents.entities import Entities
from rllib_qatten.envs.agent_ids import AgentID, in_order
from rllib_qatten.envs.spaces import has_fixed_length, mask_key, plain_space
from rllib_qatten.envs.team import ACTION_MASK, TeamContractError, TeamSpec, engine_name_of

#: How to fix possible_agents.
AGENTS_FIX = "set it in __init__ to the list of all agents"


@dataclass(frozen=True)
class Declared:
    """A team's declaration, complete and without faults.

    Attributes:
        spec: The team's sizes and names.
        observation_spaces: Each agent's, in the order of `spec.agents`; masks included.
        n_actions: Each agent's number of actions.
        state_space: The space of `state()`; None if the env has none.
    """

    spec: TeamSpec
    observation_spaces: tuple[gym.Space, ...]
    n_actions: tuple[int, ...]
    state_space: gym.Space | None

    @property
    def lengths(self) -> list[int]:
        """Each agent's observation length."""
        return [gym.spaces.flatdim(plain_space(space)) for space in self.observation_spaces]


def declare(env: MultiAgentEnv) -> Declared:
    """Reads an env's declaration; call it before the first reset, which may change names.

    Raises:
        TeamContractError: With all faults in it, agent by agent, and how to fix them.
    """
    agents, faults = _agents(env)
    spaces, actions = {}, {}
    for agent in agents:
        spaces[agent], actions[agent] = (
            space_of(env, agent, "observation"),
            space_of(env, agent, "action"),
        )
        faults += _agent_faults(agent, spaces[agent], actions[agent])
    faults += list(_state_faults(env))
    state_space = None if faults else _state_space(env)
    if not faults:
        faults += list(_name_faults(env, len(agents), state_space))
    if faults:
        raise TeamContractError.of(env, *faults)
    lengths = [gym.spaces.flatdim(plain_space(space)) for space in spaces.values()]
    n_actions = tuple(int(actions[agent].n) for agent in agents)
    entities, faults = _entities(env, lengths, n_actions)
    if faults:
        raise TeamContractError.of(env, *faults)
    by_row = len(agents) * max(lengths)
    own = tuple(zip(lengths, n_actions, strict=True))
    types, limit = attribute(env, "unit_types"), attribute(env, "episode_limit")
    features = attribute(env, "unit_features")
    spec = TeamSpec(
        agents=agents,
        n_actions=max(n_actions),
        observation_size=max(lengths),
        state_size=by_row if state_space is None else gym.spaces.flatdim(state_space),
        state_source="observations" if state_space is None else "env",
        unit_features=features if isinstance(features, slice) else None,
        unit_types=tuple(map(int, types)) if _is_row(types, len(agents)) else None,
        is_battle=bool(attribute(env, "is_battle")),
        engine=engine_name_of(env),
        episode_limit=int(float(limit)) if _is_finite(limit) else None,
        entities=entities,
        own_sizes=own if len(set(own)) > 1 else None,
    )
    return Declared(spec, tuple(spaces.values()), n_actions, state_space)


def attribute(env: Any, name: str) -> Any:
    """An env's attribute; None if it is missing, or a property that fails."""
    try:
        return getattr(env, name, None)
    except Exception:  # a user's property may raise anything
        return None


def takes(method: Any, *names: str) -> bool:
    """Whether it can be called with these positional arguments and needs no others."""
    if not callable(method):
        return False
    try:
        inspect.signature(method).bind(*names)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True


def saves_games(env: Any) -> bool:
    """Whether the env has the contract's `get_state()` and `set_state(state)`."""
    return takes(attribute(env, "get_state")) and takes(attribute(env, "set_state"), "state")


def vectorizes(env: Any) -> bool:
    """Whether the env provides its own vector of teams, by a `vectorize(num_games)`."""
    method = attribute(env, "vectorize")
    if not takes(method, "num_games"):
        return False
    return "num_games" in inspect.signature(method).parameters


def space_of(env: Any, agent: AgentID, of: str) -> Any:
    """An agent's space, by any of the ways in which RLlib lets an env declare it."""
    try:
        return getattr(env, f"get_{of}_space")(agent)
    except Exception:  # usually a KeyError, but the method may be the user's
        return None


def _agents(env: Any) -> tuple[tuple[AgentID, ...], list[str]]:
    """The agents, in order, and what is wrong with them."""
    ids = attribute(env, "possible_agents")
    if not isinstance(ids, np.ndarray) and not ids:  # as RLlib's older envs declare them
        ids = attribute(env, "_agent_ids")
    if ids is None or (isinstance(ids, Collection) and not len(ids)):
        return (), [f"possible_agents is missing or empty: {AGENTS_FIX}"]
    if isinstance(ids, str | bytes) or not isinstance(ids, Collection | np.ndarray):
        return (), [f"possible_agents is {ids!r}: {AGENTS_FIX}"]
    unordered = attribute(env, "_agent_ids")
    if isinstance(unordered, set) and list(unordered) == list(ids) and _left_to_rllib(type(env)):
        ids = unordered
    try:
        agents = in_order(ids)
    except ValueError as error:
        return (), [str(error)]
    if len(set(agents)) != len(agents):
        return agents, [f"possible_agents names an agent twice, {list(agents)}: name each once"]
    return agents, []


def _left_to_rllib(cls: type) -> bool:
    """Whether no user class sets the agents, so that RLlib lists them from a set."""
    for base in cls.__mro__[: cls.__mro__.index(MultiAgentEnv)]:
        for name, value in vars(base).items():
            if name in ("agents", "possible_agents"):
                return False
            if isinstance(value, FunctionType) and any(
                step.opname == "STORE_ATTR" and step.argval in ("agents", "possible_agents")
                for step in dis.get_instructions(value)
            ):
                return False
    return True


def _agent_faults(agent: AgentID, space: Any, actions: Any) -> list[str]:
    faults = []
    if not isinstance(actions, gym.Space):
        faults.append(f"agent {agent!r} has no entry in action_spaces: add a Discrete")
    elif not isinstance(actions, gym.spaces.Discrete) or actions.start != 0:
        advice = "discretize or flatten the actions"
        if isinstance(actions, gym.spaces.Tuple):
            advice = (
                "if these are several agents, grouped into one by with_agent_groups, pass the env "
                "ungrouped: all its agents are the team"
            )
        faults.append(
            f"agent {agent!r} has the action space {actions}: value decomposition takes "
            f"the best of finitely many actions and needs a Discrete starting at 0; {advice}"
        )
    if not isinstance(space, gym.Space):
        faults.append(f"agent {agent!r} has no entry in observation_spaces: add its space")
        return faults
    return faults + list(_observation_faults(agent, space, actions))


def _observation_faults(agent: AgentID, space: gym.Space, actions: Any) -> Iterator[str]:
    if isinstance(space, gym.spaces.Dict) and ACTION_MASK in space.spaces:
        key = mask_key(space)
        if key is None:
            yield (
                f"agent {agent!r} has an observation space with 'action_mask' beside "
                f"{sorted(set(space) - {ACTION_MASK})}: name the observation 'observations'"
            )
            return
        for unread in sorted(set(space) - {ACTION_MASK, key}):
            advice = f"put it into {key!r}, which may be a Dict itself, or leave it out"
            if unread == ENV_STATE:
                advice = "return the team's global state from a method state(), and leave it out"
            yield (
                f"agent {agent!r} has {unread!r} in its observation space beside {key!r} and "
                f"'action_mask', where it is not read: {advice}"
            )
        shape = space[ACTION_MASK].shape
        if isinstance(actions, gym.spaces.Discrete) and shape != (actions.n,):
            yield (
                f"agent {agent!r} declares an 'action_mask' of shape {shape} for {actions.n} "
                f"actions: give it one entry per action, MultiBinary({actions.n})"
            )
    plain = plain_space(space)
    if not has_fixed_length(plain):
        yield (
            f"agent {agent!r} has the observation space {space}, which has no "
            "fixed length: use a Box, or a Dict of 'observations' and 'action_mask'"
        )
    elif not gym.spaces.flatdim(plain):
        yield f"agent {agent!r} has the observation space {space}, which is empty: fill it"


def _state_faults(env: Any) -> Iterator[str]:
    state, space = attribute(env, "state"), attribute(env, "state_space")
    if not takes(state):
        if isinstance(space, gym.Space):
            has = (
                "no state()"
                if state is None
                else f"a state that cannot be called as state(): {_short(state)}"
            )
            yield (
                f"it has a state_space but {has}: add a method state() that returns the team's "
                "global state, or rename the space"
            )
    elif not isinstance(space, gym.Space) or not has_fixed_length(space):
        yield (
            f"it has a state() but its state_space is {_short(space)}: set state_space to the "
            "space of what state() returns, or rename the method if it does not return the team's "
            "global state"
        )


def _state_space(env: Any) -> gym.Space | None:
    return attribute(env, "state_space") if takes(attribute(env, "state")) else None


def _name_faults(env: Any, n_agents: int, state_space: gym.Space | None) -> Iterator[str]:
    """Faults in optional declarations that may be meant for the contract."""
    features, types = attribute(env, "unit_features"), attribute(env, "unit_types")
    state_size = None if state_space is None else gym.spaces.flatdim(state_space)
    if _like_slice(features):
        if state_size is None:
            yield "it declares unit_features, a slice of the state, but has no state(): add one"
        elif not _is_slice_of(features, state_size, n_agents):
            yield (
                f"unit_features is {features!r}: it must be slice(start, stop) within the state's "
                f"{state_size} entries, with the same number of features for each of the "
                f"{n_agents} agents"
            )
    if isinstance(types, Sequence | np.ndarray | Mapping | Real):
        if not _is_row(types, n_agents):
            yield (
                f"unit_types is {types!r}: it must hold one whole number per agent, the same for "
                "agents of one type, or be None if types change from game to game"
            )
    battle, limit = attribute(env, "is_battle"), attribute(env, "episode_limit")
    if battle is not None and not isinstance(battle, bool | np.bool_):
        yield (
            f"is_battle is {_short(battle)}: set it to True if games are won or lost and to "
            "False if not, or rename it"
        )
    if isinstance(limit, str) or (isinstance(limit, Real) and not _is_limit(limit)):
        yield (
            f"episode_limit is {_short(limit)}: set it to the longest game's number of steps, or "
            "None"
        )


def _entities(
    env: Any, lengths: list[int], n_actions: tuple[int, ...]
) -> tuple[Entities | None, list[str]]:
    """How observations are made of units, if the env says so, and what is wrong with that."""
    declared = attribute(env, "entities")
    parts = ("own", "teammates", "enemies")
    if not isinstance(declared, Entities) and not (
        isinstance(declared, Mapping) and any(part in declared for part in parts)
    ):
        return None, []
    try:
        entities = Entities.read(declared)
    except ValueError as error:
        return None, [str(error)]
    if len(set(lengths)) > 1 or len(set(n_actions)) > 1:
        return None, [
            f"entities describes every agent's observation and actions alike, but there are "
            f"observations of {sorted(set(lengths))} numbers and {sorted(set(n_actions))} actions"
        ]
    wrong = entities.faults(lengths[0], len(lengths), n_actions[0])
    return entities, [f"entities: {fault}" for fault in wrong]


def _like_slice(value: Any) -> bool:
    """Whether it may be meant as a slice; arrays and methods of that name are left alone."""
    if isinstance(value, slice | range):
        return True
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(isinstance(bound, Integral) for bound in value)
    )


def _is_slice_of(part: Any, size: int, n_agents: int) -> bool:
    return (
        isinstance(part, slice)
        and part.step in (None, 1)
        and isinstance(part.start, int)
        and isinstance(part.stop, int)
        and 0 <= part.start < part.stop <= size
        and (part.stop - part.start) % n_agents == 0
    )


def _is_row(types: Any, n_agents: int) -> bool:
    """Whether it is a row of whole numbers, one per agent."""
    if not isinstance(types, Sequence | np.ndarray) or np.shape(types) != (n_agents,):
        return False
    return all(isinstance(kind, Integral) for kind in types)


def _is_finite(limit: Any) -> bool:
    return isinstance(limit, Real) and math.isfinite(limit)


def _is_limit(limit: Real) -> bool:
    return not isinstance(limit, bool) and (
        limit == math.inf or (float(limit) >= 1 and float(limit).is_integer())
    )


def _short(value: Any) -> str:
    """A value in a few words, however large it is."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:80]}..."
