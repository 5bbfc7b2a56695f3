"""The team contract: a team's observations and rewards, as arrays, for many games at once.

Letters: G games, N agents, A actions, O observation length, S state length, U unit-feature length.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from rllib_qatten.agents.entities import Entities
from rllib_qatten.envs.agent_ids import AgentID
from rllib_qatten.envs.battles.battle import Battle
from rllib_qatten.errors import BadInput

#: Keys of a masked observation: RLlib's and PettingZoo's for the observation, and the mask's.
OBSERVATIONS, ACTION_MASK = "observations", "action_mask"
OBSERVATION_KEYS = (OBSERVATIONS, "observation")
#: Key of the infos that concern the whole team (RLlib's convention for MultiAgentEnv).
COMMON = "__common__"
#: Key in the common infos: did the team win the battle that ended with this step?
BATTLE_WON = "battle_won"
#: Key in the common infos: did an engine fault end the game, so that it does not count as a result?
DROPPED = "dropped"
#: Key in an agent's infos: is its unit alive? Absent means yes.
ALIVE = "alive"


class TeamContractError(BadInput):
    """An environment breaks the team contract."""

    @classmethod
    def of(cls, env: object, *faults: str) -> TeamContractError:
        """The error that lists an environment's faults."""
        lines = "\n".join(f"  - {fault}" for fault in faults)
        return cls(f"{engine_name_of(env)} is not a team environment:\n{lines}")

    @classmethod
    def during(cls, env: object, when: str, *faults: str) -> TeamContractError:
        """The error that lists the faults of an environment in the middle of its games."""
        lines = "\n".join(f"  - {fault}" for fault in faults)
        return cls(f"{engine_name_of(env)} broke the team contract {when}:\n{lines}")


def engine_name_of(env: object) -> str:
    """The engine that an env names; its class if `engine` is something else."""
    if isinstance(env, type):
        return env.__name__
    inner = getattr(env, "unwrapped", env)
    name = getattr(inner, "engine", None)
    return name if isinstance(name, str) and name else type(inner).__name__


@dataclass(frozen=True)
class TeamSpec:
    """What stays the same over all games of a team environment.

    Attributes:
        agents: The agents' ids, in the order of axis N everywhere.
        n_actions: A, the largest number of actions of any agent.
        observation_size: O, the largest observation length of any agent.
        state_size: S.
        state_source: "env" if the env has a `state()`, "observations" if they are concatenated.
        unit_features: Where the state holds one row of U features per agent, as a slice that
            reshapes to [N, U]; None if the env declares none.
        unit_types: The type of each agent's unit, as a number shared by agents of one type, if it
            is the same in every game; else None.
        is_battle: Whether games are won or lost, so that a win rate makes sense.
        engine: Name and version of what plays the game, for results and checkpoints.
        episode_limit: Longest game in steps, if known.
        entities: How an observation is made of units, for an agent that sees them as a set; None if
            the env declares nothing.
        own_sizes: [N] each agent's own observation length and number of actions; None if they are
            O and A for all.
    """

    agents: tuple[AgentID, ...]
    n_actions: int
    observation_size: int
    state_size: int
    state_source: str = "env"
    unit_features: slice | None = None
    unit_types: tuple[int, ...] | None = None
    is_battle: bool = False
    engine: str = "python"
    episode_limit: int | None = None
    entities: Entities | None = None
    own_sizes: tuple[tuple[int, int], ...] | None = None

    @property
    def n_agents(self) -> int:
        """N."""
        return len(self.agents)

    @property
    def unit_feature_size(self) -> int | None:
        """U, or None if the env declares no unit features."""
        if self.unit_features is None:
            return None
        return (self.unit_features.stop - self.unit_features.start) // self.n_agents

    def ended_after(self, max_episode_steps: int | None) -> TeamSpec:
        """The same, of games that are truncated after so many steps."""
        limits = [n for n in (self.episode_limit, max_episode_steps) if n is not None]
        return replace(self, episode_limit=min(limits, default=None))


@dataclass
class TeamView:
    """What the teams of G games see at one step.

    Attributes:
        observations: [G, N, O] float32, shorter observations padded with zeros.
        state: [G, S] float32.
        legal_actions: [G, N, A] bool, at least one per agent.
        alive: [G, N] bool.
    """

    observations: np.ndarray
    state: np.ndarray
    legal_actions: np.ndarray
    alive: np.ndarray

    @classmethod
    def blank(cls, spec: TeamSpec, num_games: int) -> TeamView:
        """All zeros, with all agents alive."""
        n = spec.n_agents
        return cls(
            np.zeros((num_games, n, spec.observation_size), np.float32),
            np.zeros((num_games, spec.state_size), np.float32),
            np.zeros((num_games, n, spec.n_actions), bool),
            np.ones((num_games, n), bool),
        )

    def copy(self) -> TeamView:
        """A copy with its own arrays."""
        return TeamView(**{name: array.copy() for name, array in vars(self).items()})


@dataclass
class TeamStep:
    """The outcome of one step of G games.

    Attributes:
        rewards: [G] float32, one team reward per game.
        terminated: [G] bool, the game ended by itself: no value beyond.
        truncated: [G] bool, the game was cut off (time limit): targets bootstrap from its end.
        won: [G] bool, games that ended with this step in victory.
        final: The view right after the step, the last one of games that ended.
        view: The view to act on next; where a game ended, the first one of the next game.
        dropped: [G] bool, games that an engine fault ended, also truncated: this step was not
            played, `final` is the view before it, and the game is no result. None if no
            game was dropped.
    """

    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    won: np.ndarray
    final: TeamView
    view: TeamView
    dropped: np.ndarray = None  # type: ignore[assignment] # set below

    def __post_init__(self) -> None:
        """Most engines drop no games."""
        if self.dropped is None:
            self.dropped = np.zeros_like(self.terminated)

    @property
    def done(self) -> np.ndarray:
        """[G] bool, games that ended with this step."""
        return self.terminated | self.truncated


class TeamSpace(gym.spaces.Dict):
    """One game's view as a space: the team is one agent to RLlib's env runner.

    Attributes:
        spec: The team's sizes and names, for modules that are built from the space.
    """

    def __init__(self, spec: TeamSpec) -> None:
        """Builds the space of `TeamView`'s arrays without their G axis."""
        self.spec = spec
        n = spec.n_agents
        box = gym.spaces.Box
        super().__init__(
            {
                "observations": box(-np.inf, np.inf, (n, spec.observation_size), np.float32),
                "state": box(-np.inf, np.inf, (spec.state_size,), np.float32),
                "legal_actions": gym.spaces.MultiBinary((n, spec.n_actions)),
                "alive": gym.spaces.MultiBinary(n),
            }
        )


@dataclass
class TeamVector(ABC):
    """G games of one team environment, played in lockstep as arrays.

    A game that ends is reset within the same step. Python environments are looped over
    (`PythonTeams`); a batched engine subclasses this and never creates per-agent
    dicts.

    Attributes:
        spec: The team's sizes and names.
        num_games: G.
        game_restarts: Faults so far after which a game's process was restarted.
        asked_by_all: Games that each env runner of a run asks for, this one and those of its
            evaluation included; empty if the vector plays on its own.
        drawable: Whether `battle` gives the units' positions.
        compiles: Whether the first step takes seconds, because the engine compiles it.
        replay_ending: File suffix of what `save_replay` returns, such as ".SC2Replay"; None if
            the engine saves none.
        before_resets: Called with a step before the games that it ended are reset, by a vector with
            accessible envs; `view` is not set yet.
    """

    drawable: ClassVar[bool] = False
    compiles: ClassVar[bool] = False
    replay_ending: ClassVar[str | None] = None

    spec: TeamSpec
    num_games: int
    game_restarts: int = field(default=0, init=False)
    asked_by_all: Sequence[int] = field(default=(), init=False)
    #: Whether a remote env runner should keep to one core (an engine with its own threads).
    one_core: bool = field(default=False, init=False)
    before_resets: Callable[[TeamStep], None] | None = field(default=None, init=False)

    @abstractmethod
    def reset(self, seed: int | None = None) -> TeamView:
        """Restarts all games; with a seed, reproducibly."""

    @abstractmethod
    def step(self, actions: np.ndarray) -> TeamStep:
        """Plays one step of every game.

        Args:
            actions: [G, N] int, each legal in the last view.
        """

    def get_state(self) -> Any | None:
        """Everything that the current games depend on, picklable; None if it cannot be saved."""
        return None

    def set_state(self, state: Any) -> None:
        """Continues saved games, of a vector created with the same arguments.

        Raises:
            ValueError: If they do not fit.
        """
        raise ValueError(f"{type(self).__name__} cannot continue saved games.")

    def battle(self, state: np.ndarray, actions: np.ndarray) -> Battle:
        """What a drawing shows of one game, if the vector is `drawable`.

        Args:
            state: [T+1, S] the game's states.
            actions: [T, N] int, the joint actions.
        """
        raise NotImplementedError(f"{type(self).__name__} does not give the units' positions.")

    def save_replay(self) -> bytes:
        """The engine's own replay of the first game, if there is a `replay_ending`.

        Raises:
            EngineFailed: If the engine could not save one.
        """
        raise NotImplementedError(f"{type(self).__name__} saves no replays.")

    def close(self) -> None:  # noqa: B027 - most vectors hold nothing
        """Releases what the games hold; may be called twice."""

    @property
    def envs(self) -> Sequence[Any]:
        """The games' own environments, if each has one.

        Raises:
            AttributeError: If they have none, saying what to do instead.
        """
        raise AttributeError(
            f"{self.spec.engine} plays all games at once, so there is no env of one game to "
            "change. Change env_config and recreate the games: env_runner.config.environment("
            "env_config={...}); env_runner.make_env()."
        )

    def reset_result(self, g: int) -> tuple[Any, Any] | None:
        """What game g's env returned from its last reset: the agents' observations and infos.

        None if games are arrays, which have nothing beyond their views.
        """
        return None

    def step_result(self, g: int) -> tuple[Any, Any] | None:
        """The last actions sent to game g's env and what its step returned; or None."""
        return None

    @property
    def num_envs(self) -> int:
        """G, by the name gymnasium's vector environments use."""
        return self.num_games

    @property
    def single_observation_space(self) -> TeamSpace:
        """One game's view."""
        return TeamSpace(self.spec)

    @property
    def single_action_space(self) -> gym.spaces.MultiDiscrete:
        """One game's joint action."""
        return gym.spaces.MultiDiscrete([self.spec.n_actions] * self.spec.n_agents)

    @property
    def observation_space(self) -> gym.Space:
        """All games' views, batched."""
        return gym.vector.utils.batch_space(self.single_observation_space, self.num_games)

    @property
    def action_space(self) -> gym.Space:
        """All games' joint actions, batched."""
        return gym.vector.utils.batch_space(self.single_action_space, self.num_games)

    @property
    def unwrapped(self) -> TeamVector:
        """Itself: there is nothing to unwrap."""
        return self
