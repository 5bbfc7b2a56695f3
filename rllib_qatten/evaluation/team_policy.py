"""A trained team that acts: no Ray, no mixer, no code from the checkpoint."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from rllib_qatten.agents.acting import ActingNetwork
from rllib_qatten.checkpoints.other_team import fitted
from rllib_qatten.checkpoints.team_files import read
from rllib_qatten.errors import BadInput
from rllib_qatten.evaluation import given
from rllib_qatten.hardware.threads import torch_threads
from rllib_qatten.rollout.exploration import greedy

if TYPE_CHECKING:  # a team acts without gymnasium and Ray
    from rllib_qatten.envs.team import TeamSpec


class TeamPolicy:
    """A team that plays greedily, one call per step, and keeps its games' histories.

        team = TeamPolicy.from_checkpoint("checkpoint_000010")
        team.reset()
        actions = team.act(observations, action_mask)

    Letters: G games, N agents, O observation length, A actions.

    Attributes:
        network: The agent network.
        metadata: The content of the checkpoint's `policy.json`.
        agents: The agents' ids, in the order of axis N.
        utilities: [N, A] or [G, N, A], those of the last step, for all actions, legal or not; NaN
            before the first step.
    """

    def __init__(self, network: ActingNetwork, metadata: dict[str, Any]) -> None:
        """Takes what `from_checkpoint` reads."""
        self.network = network
        self.metadata = metadata
        self.agents: tuple[Hashable, ...] = tuple(metadata["agents"])
        self.reset()

    @classmethod
    def from_checkpoint(cls, path: Any) -> TeamPolicy:
        """Reads the team of a checkpoint without running any code from it.

        Args:
            path: The folder of a checkpoint, as str or Path, with ~ or file://; zoo:NAME, a team
                that comes with the package; Tune's Checkpoint or Result; or the folder of a trial
                or a run: then the checkpoint with the best greedy games is used, else the newest,
                and a message says which.

        Raises:
            BadInput: If it is not a checkpoint of this package, or was cut short or altered.
        """
        return cls(*read(path))

    def fitted(self, spec: TeamSpec) -> TeamPolicy:
        """The team for games with these sizes; itself if it was trained in such.

        Args:
            spec: As a vector of games has it.

        Raises:
            BadInput: If it cannot play them: only agent: entity plays in teams of other sizes,
                where observations are made alike.
        """
        network = fitted(self.network, spec)
        if network is self.network:
            return self
        inputs = dataclasses.asdict(network.layout)
        changed = {"agents": list(spec.agents), "inputs": inputs, "agent": network.settings}
        return TeamPolicy(network, self.metadata | changed)

    def agent(self, agent: Hashable) -> AgentPolicy:
        """A single agent of the team, with its own history.

        Args:
            agent: Its id or its index; an id takes precedence.

        Raises:
            BadInput: If there is no such agent.
        """
        place = self.agents.index(agent) if agent in self.agents else agent
        if not isinstance(place, numbers.Integral) or place not in range(len(self.agents)):
            raise BadInput(
                f"No agent {agent!r}: the team has {', '.join(map(str, self.agents))}, or 0 to "
                f"{len(self.agents) - 1}."
            )
        return AgentPolicy(TeamPolicy(self.network, self.metadata), int(place))

    def reset(self, games: ArrayLike | None = None) -> None:
        """Begins new games, without history.

        Args:
            games: [G] bool, which of the games begin anew; None means all of them.

        Raises:
            ValueError: If the mask is none, or does not fit the games being played.
        """
        if games is None:
            layout = self.network.layout
            self._last_actions: np.ndarray | None = None
            self.utilities = np.full((layout.n_agents, layout.n_actions), np.nan, np.float32)
            return
        begun = np.asarray(games)
        if begun.dtype != bool:  # 0 and 1 might be indices as well
            raise ValueError(f"games must be [G] of False and True, got {games!r}")
        if self._last_actions is None:
            return  # no game has a history yet
        if begun.shape != self._last_actions.shape[:1]:
            raise ValueError(
                f"games must be [G={len(self._last_actions)}], got {list(begun.shape)}"
            )
        self._last_actions[begun] = -1
        self._hidden[torch.from_numpy(begun)] = 0

    def act(self, observations: ArrayLike, action_mask: ArrayLike) -> np.ndarray:
        """The team's next actions: each agent's best legal one.

        Args:
            observations: [N, O] of one game, or [G, N, O] of G games that step together; where
                agents' observations have different lengths, zeros fill up the shorter ones.
            action_mask: [N, A] or [G, N, A], the legal actions, all ones if every action is; zeros
                fill up those of agents with fewer actions.

        Returns:
            [N] or [G, N] int; an agent without a legal action gets 0.

        Raises:
            ValueError: For other shapes, observations that are not finite, masks of anything but 0
                and 1, or if the number of games changed since the last `reset`.
        """
        seen, legal = given.observations(observations), given.action_mask(action_mask)
        layout = self.network.layout
        n, sizes = layout.n_agents, (layout.observation_size, layout.n_actions)
        games = seen.shape[:-2]
        expected = [(*games, n, size) for size in sizes]
        if len(games) > 1 or [seen.shape, legal.shape] != expected:
            raise ValueError(
                f"observations must be [{n}, {sizes[0]}] and action_mask [{n}, {sizes[1]}], or "
                "both with one leading axis of games; got "
                f"{list(seen.shape)} and {list(legal.shape)}"
            )
        rows = seen.reshape(-1, n, sizes[0])
        if self._last_actions is None:
            self._last_actions = np.full((len(rows), n), -1, np.int64)
            self._hidden = self.network.initial_hidden(len(rows))
        elif len(rows) != len(self._last_actions):
            raise ValueError(
                f"{len(self._last_actions)} game(s) are being played, but got {len(rows)}: call "
                "reset() before changing the number of games"
            )
        with torch.no_grad(), torch_threads():
            utilities, self._hidden = self.network(
                torch.tensor(rows), torch.from_numpy(self._last_actions), self._hidden
            )
        self.utilities = utilities.numpy().reshape(*games, n, sizes[1])
        actions = greedy(self.utilities, legal)
        self._last_actions = actions.reshape(-1, n).copy()
        return actions


class AgentPolicy:
    """A single agent that sees and remembers only its own history: decentralized execution.

        agent = AgentPolicy.from_checkpoint("checkpoint_000010", agent="ally_0")
        action = agent.act(observation, action_mask)

    Attributes:
        id: The agent's id.
        place: Its index in the team.
        utilities: [A] or [G, A], those of the last step.
    """

    def __init__(self, team: TeamPolicy, place: int) -> None:
        """Takes a team for its own use, and its index in it."""
        self._team = team
        self.place = place
        self.id = team.agents[place]
        layout, sizes = team.network.layout, team.metadata.get("own_sizes")
        self._padded = layout.observation_size, layout.n_actions
        self._own = tuple(sizes[place]) if sizes else self._padded

    @classmethod
    def from_checkpoint(cls, path: Any, agent: Hashable) -> AgentPolicy:
        """Reads one agent, by its id or index, from a checkpoint; see `TeamPolicy`.

        Raises:
            BadInput: As `TeamPolicy.from_checkpoint`, or if there is no such agent.
        """
        return TeamPolicy.from_checkpoint(path).agent(agent)

    @property
    def utilities(self) -> np.ndarray:
        """See class."""
        return self._team.utilities[..., self.place, :]

    def reset(self, games: ArrayLike | None = None) -> None:
        """Begins new games; see `TeamPolicy.reset`."""
        self._team.reset(games)

    def act(self, observation: ArrayLike, action_mask: ArrayLike) -> np.ndarray:
        """This agent's next action.

        Args:
            observation: [O] of one game, or [G, O]; or as long as this agent's own are, if others
                of the team have longer ones.
            action_mask: [A] or [G, A]; or as long as this agent has actions.

        Returns:
            An integer, or [G].

        Raises:
            ValueError: As `TeamPolicy.act`.
        """
        own = given.observations(observation), given.action_mask(action_mask)
        if any(
            array.ndim not in (1, 2) or array.shape[-1] not in lengths
            for array, lengths in zip(own, zip(self._own, self._padded, strict=True), strict=True)
        ) or (own[0].shape[:-1] != own[1].shape[:-1]):
            raise ValueError(
                f"observation must be [{self._own[0]}] and action_mask [{self._own[1]}], or both "
                "with one leading axis of games (an observation of more axes, or of parts, as "
                f"gymnasium flattens it); got {list(own[0].shape)} and {list(own[1].shape)}"
            )
        alone = (self._alone(array, size) for array, size in zip(own, self._padded, strict=True))
        return self._team.act(*alone)[..., self.place]

    def _alone(self, own: np.ndarray, size: int) -> np.ndarray:
        """The team's array: other rows stay blank, as rows of an agent network are independent."""
        team = np.zeros((*own.shape[:-1], len(self._team.agents), size), own.dtype)
        team[..., self.place, : own.shape[-1]] = own
        return team
