"""What a Python env answers, written into a team's arrays: at every step of every game.

It only notices *that* an answer breaks the contract, by an error of any kind, as cheaply as it can;
`answers` says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from rllib_qatten.envs.agent_ids import AgentID
from rllib_qatten.envs.answers import reward_of
from rllib_qatten.envs.declared import Declared
from rllib_qatten.envs.flags import flag
from rllib_qatten.envs.spaces import mask_key, plain_space, reader
from rllib_qatten.envs.team import ACTION_MASK, ALIVE, BATTLE_WON, COMMON, TeamView


class AnswerArrays:
    """Writes a team's observations, masks and state; joins its rewards.

    Args:
        declared: What the env declares.
        team_reward: How the agents' rewards become the team's; see `PythonTeams`.
    """

    def __init__(self, declared: Declared, team_reward: str) -> None:
        """See class."""
        spec, lengths, n_actions = declared.spec, declared.lengths, declared.n_actions
        self._team_reward = team_reward
        self._ids = frozenset(spec.agents)
        self._informed = self._ids | {COMMON}
        #: For each agent: its id; the key of its observation beside the mask, if it has one; the
        #: observation's shape, if it is a Box; its reader; its observation while it is away; its
        #: number of actions; its mask if the env gives none; its mask while it is away.
        self._agents = [
            (
                agent,
                mask_key(space),
                plain.shape if isinstance(plain := plain_space(space), gym.spaces.Box) else None,
                reader(plain),
                np.zeros(length, np.float32),
                n,
                np.ones(n, bool),
                np.arange(n) == 0,
            )
            for agent, space, length, n in zip(
                spec.agents, declared.observation_spaces, lengths, n_actions, strict=True
            )
        ]
        #: Which entries are not padding: bool [N, O] and [N, A].
        self._observed = np.arange(spec.observation_size) < np.array(lengths)[:, None]
        self._existing = np.arange(spec.n_actions) < np.array(n_actions)[:, None]
        self._no_padding, self._no_mask_padding = len(set(lengths)) == 1, len(set(n_actions)) == 1
        space = declared.state_space
        self._read_state = None if space is None else reader(space)
        self._state_shape = space.shape if isinstance(space, gym.spaces.Box) else None

    def write(
        self, view: TeamView, g: int, observations: Mapping, infos: Mapping, away: set, state: Any
    ) -> None:
        """Writes what a reset or step returned.

        Args:
            view: The arrays of all games.
            g: The game.
            observations: Its agents' observations.
            infos: Its agents' infos.
            away: The agents that are not in it.
            state: What its `state()` returned, if there is one.
        """
        # All agents are written at once: a NumPy call per agent would cost more than many envs do.
        parts: list[np.ndarray] = []
        masks: list[Any] = []
        alive: list[bool] = []
        masked = False
        if len(observations) + len(away) != len(self._agents):
            # Agents that are away may appear at a game's end; unknown ones may not.
            self._refuse_strangers(observations, self._ids)
        if infos:
            self._refuse_strangers(infos, self._informed)
        for agent, key, shape, read, unseen, n, all_legal, only_first in self._agents:
            if agent in away:
                parts.append(unseen)
                masks.append(only_first)
                alive.append(False)
                masked = True
                continue
            seen, info, mask = observations[agent], infos.get(agent), all_legal
            if info:
                lives = info.get(ALIVE, True)
                alive.append(lives if lives is True or lives is False else flag(lives))
                if key is None and (own := info.get(ACTION_MASK)) is not None:
                    mask = own
            else:
                if info is not None and info != {}:
                    raise TypeError(info)
                alive.append(True)
            if key is not None:
                mask, seen = seen[ACTION_MASK], seen[key]
            if mask is not all_legal:
                masked = True
                if len(mask) != n:  # the next agent's would shift
                    raise ValueError(mask)
            masks.append(mask)
            if type(seen) is np.ndarray and seen.shape == shape:
                parts.append(seen)  # the common case, without a call
            else:
                read(seen, parts)
        # Of the "same kind" as float32 are all real numbers, but neither text nor complex ones.
        if self._no_padding:
            row = view.observations[g].reshape(-1)
            np.concatenate(parts, axis=None, out=row, casting="same_kind")
        else:
            view.observations[g][self._observed] = np.concatenate(
                parts, axis=None, dtype=np.float32, casting="same_kind"
            )
        view.alive[g] = alive
        self._write_masks(view.legal_actions[g], masks if masked else None)
        self._write_state(view, g, state)

    def reward(self, rewards: Mapping[AgentID, Any], played: Collection[AgentID]) -> float:
        """The team's reward for a step of the agents that played it."""
        if len(rewards) != len(played):  # of those that are away nothing counts under "equal"
            self._refuse_strangers(rewards, self._ids)
        mine = [rewards[agent] for agent in played]
        if self._team_reward != "equal":
            total = sum(reward_of(rewards[a]) for a, *_ in self._agents if a in rewards)
            return total if self._team_reward == "sum" else total / len(self._agents)
        first = mine[0]
        if any(reward != first for reward in mine):
            if any(reward != reward for reward in mine):
                return float("nan")  # the env runner reports it, with the step
            raise ValueError("the agents got different rewards")
        return reward_of(first)

    def _write_masks(self, legal_actions: np.ndarray, masks: list[Any] | None) -> None:
        if masks is None:
            legal_actions[:] = self._existing
            return
        row = np.concatenate(masks, axis=None)
        if row.dtype.kind not in "biuf":
            raise TypeError(row)
        legal = row.astype(bool)
        # Comparing bytes first takes a fourth of the time.
        if legal.astype(row.dtype).tobytes() != row.tobytes() and (legal != row).any():
            raise ValueError(row)
        if self._no_mask_padding:
            legal_actions.reshape(-1)[:] = legal
        else:
            legal_actions[self._existing] = legal

    def _write_state(self, view: TeamView, g: int, state: Any) -> None:
        if self._read_state is None:
            view.state[g] = view.observations[g].reshape(-1)
            return
        if type(state) is not np.ndarray or state.shape != self._state_shape:
            flat: list[np.ndarray] = []
            self._read_state(state, flat)
            state = np.concatenate(flat, axis=None)
        if state.dtype.kind not in "biuf":
            raise TypeError(state)
        view.state[g] = state.reshape(-1)

    @staticmethod
    def _refuse_strangers(part: Mapping, known: frozenset) -> None:
        if not part.keys() <= known:
            raise ValueError(f"{part.keys() - known} are not agents")


def won(infos: Mapping[AgentID, Any]) -> bool:
    """Whether the infos of a game's last step, the team's or an agent's, say that it was won."""
    told = [info[BATTLE_WON] for info in infos.values() if info and BATTLE_WON in info]
    return any([flag(value) for value in told])
