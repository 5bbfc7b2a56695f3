"""What an environment answers to `reset` and `step`: who is there, and what can be wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.agent_ids import AgentID
from rllib_qatten.envs.declared import Declared, attribute
from rllib_qatten.envs.flags import ALL, away_after_reset, away_after_step, is_flag, lacks_all
from rllib_qatten.envs.spaces import (
    FLOAT32,
    is_numeric,
    kind_of,
    mask_key,
    misfits,
    plain_space,
    strays,
)
from rllib_qatten.envs.team import ACTION_MASK, ALIVE, BATTLE_WON, COMMON, OBSERVATION_KEYS
from rllib_qatten.errors import described

#: Other libraries' names for what the contract calls action_mask.
OTHER_MASKS = (
    *("avail_actions", "available_actions", "avail_action_mask", "valid_avail_actions_mask"),
    *("legal_actions", "legal_moves", "valid_actions", "valid_action_mask", "action_masks"),
)
#: Other names for what the contract calls battle_won.
OTHER_VICTORIES = (
    *("won", "win", "wins", "battle_win", "battle_wins", "battlewon", "battle_victory", "has_won"),
    *("game_won", "is_win", "winner", "victory", "success", "is_success", "solved"),
)
#: Methods of other libraries' envs: what the contract has for them.
OTHER_METHODS = {
    "get_avail_actions": "return masks as action_mask, in observations or infos",
    "get_avail_agent_actions": "return masks as action_mask, in observations or infos",
    "action_masks": "return masks as action_mask, in observations or infos",
    "get_global_state": "call the method state(), with a state_space",
    "get_state_size": "call PyMARL's get_state() state(), with a state_space",
}


def reward_of(value: Any) -> float:
    """A reward as a float; one in an array of just one is that.

    Raises:
        TypeError, ValueError: If it is no number, or one too large for a float.
    """
    if type(value) is float:
        return value
    if hasattr(value, "item"):  # an array, or a number of NumPy's or torch's
        value = value.item()
    if isinstance(value, str | bytes):
        raise TypeError(f"{value!r} is no number")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def reset_faults(declared: Declared, env: MultiAgentEnv, answer: Any) -> Iterator[str]:
    """Faults in what reset() returned."""
    if not isinstance(answer, tuple) or len(answer) != 2:
        yield f"reset() returned {_parts(answer)}: return (observations, infos)"
        return
    where = "after reset()"
    observations, infos = answer
    if faults := list(_dict_faults(declared, where, observations=observations, infos=infos)):
        yield from faults
        return
    away = away_after_reset(declared.spec.agents, observations)
    if len(away) == declared.spec.n_agents:
        yield f"no agent has an observation {where}: return one for each agent in the game"
        return
    yield from _view_faults(declared, env, observations, infos, away, where)


def step_faults(
    declared: Declared,
    env: MultiAgentEnv,
    answer: Any,
    away: set[AgentID],
    step: int,
    team_reward: str,
) -> Iterator[str]:
    """Faults in what step() returned.

    Args:
        declared: What the env declares.
        env: The env, for its state.
        answer: What step() returned.
        away: The agents that were not in the game and got no action.
        step: The game's step, counted from 1.
        team_reward: How different rewards are combined into one.
    """
    if not isinstance(answer, tuple) or len(answer) != 5:
        yield (
            f"step() returned {_parts(answer)}: return (observations, rewards, terminateds, "
            "truncateds, infos)"
        )
        return
    observations, rewards, terminateds, truncateds, infos = answer
    where = f"after step {step}"
    for name, flags, other in (
        ("terminateds", terminateds, truncateds),
        ("truncateds", truncateds, terminateds),
    ):
        if not isinstance(flags, Mapping) or lacks_all(flags, other):
            yield (
                f"step()'s {name} lack '__all__' {where}: return a dict that has it, set to "
                "whether the game is over"
            )
            return
        if wrong := [key for key, value in flags.items() if not is_flag(value)]:
            value = flags[wrong[0]]
            yield f"{name}[{wrong[0]!r}] is {value!r} {where}: set it to True or False"
            return
    parts = dict(observations=observations, rewards=rewards, infos=infos)
    parts |= {"terminateds": terminateds, "truncateds": truncateds}
    if faults := list(_dict_faults(declared, where, **parts)):
        yield from faults
        return
    over = bool(terminateds.get(ALL) or truncateds.get(ALL))
    away_now = away_after_step(away, observations, terminateds, truncateds)
    if not over and len(away_now) == declared.spec.n_agents:
        yield (
            f"all agents have left {where}, but neither terminateds nor truncateds set '__all__': "
            "set it to True when the last agent leaves"
        )
    yield from _reward_faults(declared, rewards, away, where, team_reward)
    where += ", the game's last" * over
    yield from _view_faults(declared, env, observations, infos, away_now, where, last=over)


def notes(
    declared: Declared, env: MultiAgentEnv, observations: Mapping, infos: Mapping
) -> Iterator[tuple[str, str]]:
    """Likely slips, which training can live with, in an answer without faults.

    Yields:
        A key, the same for all notes of a kind, and the note.
    """
    for name, advice in OTHER_METHODS.items():
        if callable(attribute(env, name)):
            yield name, f"its method {name}() is not called: {advice}"
    for agent, space in zip(declared.spec.agents, declared.observation_spaces, strict=True):
        if agent not in observations:
            continue
        seen, key = observations[agent], mask_key(space)
        brought = {"infos": infos.get(agent), "team's infos": infos.get(COMMON)}
        for where, part in (brought | {"observation": seen}).items():
            for name in OTHER_MASKS:
                if isinstance(part, Mapping) and name in part:
                    yield (
                        f"{where} {name}",
                        f"agent {agent!r} has {name!r} in its {where}, which no action is masked "
                        "by: a mask of legal actions is called action_mask",
                    )
        if key is not None:
            for unread in seen.keys() - {key, ACTION_MASK}:
                yield (
                    f"{agent!r} {unread!r}",
                    f"agent {agent!r} returns {unread!r} beside {key!r} and 'action_mask', which "
                    f"is not in its observation space and is not read: put it into {key!r}",
                )
            if ACTION_MASK in (infos.get(agent) or {}):
                yield (
                    f"{agent!r} masks",
                    f"agent {agent!r} has an 'action_mask' in its observation and another in its "
                    "infos, which is not read",
                )
            seen = seen[key]
        for stray in strays(plain_space(space), seen):
            yield f"{agent!r} {stray.split()[0]}", f"agent {agent!r} observed {stray}"
    if declared.state_space is not None:
        for stray in strays(declared.state_space, env.state()):
            yield f"state {stray.split()[0]}", f"state() returned {stray}"


def legal_actions(declared: Declared, i: int, observations: Mapping, infos: Mapping) -> np.ndarray:
    """[A of agent i] bool, from its observation or its infos; all of them if neither has a mask."""
    agent = declared.spec.agents[i]
    if mask_key(declared.observation_spaces[i]) is not None:
        return np.asarray(observations[agent][ACTION_MASK]).astype(bool)
    mask = (infos.get(agent) or {}).get(ACTION_MASK)
    return np.ones(declared.n_actions[i], bool) if mask is None else np.asarray(mask).astype(bool)


def _dict_faults(declared: Declared, where: str, **parts: Any) -> Iterator[str]:
    """Parts of an answer that are not dicts by agent, or have keys that are not agents."""
    for name, part in parts.items():
        if not isinstance(part, Mapping):
            empty = ", empty if there is nothing to report" if name == "infos" else ""
            row = f" (a gymnasium env: one entry for each of {declared.spec.n_agents} agents)"
            yield f"{name} are {kind_of(part)} {where}: return a dict by agent{empty}" + (
                row if isinstance(part, Sequence | np.ndarray) else ""
            )
            continue
        others = {ALL} if name in ("terminateds", "truncateds") else set()
        others |= {COMMON} if name == "infos" else set()
        unknown = sorted(repr(k) for k in part if k not in declared.spec.agents and k not in others)
        advice = "add them to possible_agents or leave them out"
        if name == "infos":
            advice = f"put what concerns the whole team into infos['{COMMON}']"
            for agent in filter(part.__contains__, (*declared.spec.agents, COMMON)):
                yield from _info_faults(agent, part[agent], where)
        if unknown:
            yield f"{name} have keys that are not agents {where}, {', '.join(unknown)}: {advice}"


def _info_faults(agent: AgentID, info: Any, where: str) -> Iterator[str]:
    """Faults in the infos of an agent, or of the team."""
    if info is not None and not isinstance(info, Mapping):
        yield f"infos[{agent!r}] is {kind_of(info)} {where}: make it a dict"
        return
    for name in (BATTLE_WON,) if agent == COMMON else (ALIVE, BATTLE_WON):
        if info and name in info and not is_flag(info[name]):
            yield (
                f"infos[{agent!r}][{name!r}] is {info[name]!r} {where}: set it to True or False, "
                "or leave it out"
            )


def _view_faults(
    declared: Declared,
    env: MultiAgentEnv,
    observations: Mapping,
    infos: Mapping,
    away: set[AgentID],
    where: str,
    last: bool = False,
) -> Iterator[str]:
    """Faults in the observations, masks and state at one time."""
    for i, agent in enumerate(declared.spec.agents):
        if agent in away:
            continue
        if agent not in observations:
            yield (
                f"agent {agent!r} has no observation {where} and has not left: return one at every "
                "step (for a dead agent, zeros and one legal action), or set its terminateds entry "
                "to True when it leaves"
            )
            continue
        faults = list(_observation_faults(declared, i, observations[agent], where))
        yield from faults or _mask_faults(declared, i, observations, infos, where, last)
    if declared.state_space is None:
        return
    try:
        state = env.state()
    except (Exception, SystemExit) as error:  # a user's env may raise anything
        yield f"state() raised {described(error)} {where}; fix state()"
        return
    for what, advice in misfits(declared.state_space, state):
        fix = ": return that or correct state_space" if advice.startswith(",") else ""
        yield f"state() returned {what} {where}{advice}{fix}"


def _observation_faults(declared: Declared, i: int, seen: Any, where: str) -> Iterator[str]:
    agent, space = declared.spec.agents[i], declared.observation_spaces[i]
    key, hint = mask_key(space), ""
    if key is not None:
        if not isinstance(seen, Mapping) or not {key, ACTION_MASK} <= seen.keys():
            returned = sorted(map(str, seen)) if isinstance(seen, Mapping) else kind_of(seen)
            yield (
                f"agent {agent!r} declares {key!r} and 'action_mask' but {where} returned "
                f"{returned}: return a dict with both"
            )
            return
        seen = seen[key]
    elif isinstance(seen, Mapping) and set(OBSERVATION_KEYS) & seen.keys():
        hint = " (for a mask, declare a Dict of 'observations' and 'action_mask')"
    for what, advice in misfits(plain_space(space), seen):
        fix = ": return that or correct observation_spaces" if advice.startswith(",") else ""
        yield f"agent {agent!r} observed {what} {where}{advice}{fix}{hint}"


def _mask_faults(
    declared: Declared, i: int, observations: Mapping, infos: Mapping, where: str, last: bool
) -> Iterator[str]:
    agent, n = declared.spec.agents[i], declared.n_actions[i]
    if mask_key(declared.observation_spaces[i]) is not None:
        mask = observations[agent][ACTION_MASK]
    else:
        mask = (infos.get(agent) or {}).get(ACTION_MASK)
        if mask is None:
            return
    if not is_numeric(mask):
        yield (
            f"agent {agent!r} has {kind_of(mask)} as its action_mask {where}: return an array of "
            f"{n} entries, 1 for a legal action and 0 for the others"
        )
        return
    array = np.asarray(mask)
    if array.shape != (n,):
        yield (
            f"agent {agent!r} has an action_mask of shape {array.shape} {where}, but its "
            f"action space has {n} actions: give the mask one entry per action"
        )
    elif not ((array == 0) | (array == 1)).all():
        yield (
            f"agent {agent!r} has the action_mask {array.tolist()} {where}: make its entries 1 for "
            "a legal action and 0 for the others"
        )
    elif not array.any() and not last:
        yield (
            f"agent {agent!r} has no legal action in its action_mask {where}: leave one, such "
            "as a no-op for a dead agent"
        )


def _reward_faults(
    declared: Declared, rewards: Mapping, away: set[AgentID], where: str, team_reward: str
) -> Iterator[str]:
    played = [agent for agent in declared.spec.agents if agent not in away]
    missing = [agent for agent in played if agent not in rewards]
    if missing:
        yield (
            f"agent {missing[0]!r} has no entry in rewards {where}: give every agent the team's "
            "reward"
        )
        return
    values = {}
    for agent in rewards:
        try:
            values[agent] = reward_of(rewards[agent])
        except (TypeError, ValueError, RuntimeError):  # the last is torch's, for several numbers
            values[agent] = float("nan")
        if not np.isfinite(values[agent]):
            yield (
                f"agent {agent!r} got the reward {rewards[agent]!r} {where}: return a finite number"
            )
            return
        if abs(values[agent]) > float(FLOAT32.max):
            yield (
                f"agent {agent!r} got the reward {rewards[agent]!r} {where}: too large for "
                "float32; scale rewards"
            )
            return
    values = {agent: values[agent] for agent in played}
    if team_reward == "equal" and len(set(values.values())) > 1:
        yield (
            f"the agents got different rewards {where}, {values}, but a team has one: give all "
            "the same, or set team_reward: sum or mean in the config"
        )


def _parts(answer: Any) -> str:
    if isinstance(answer, tuple):
        return f"a tuple of {len(answer)}"
    return kind_of(answer)
