"""Greedy games of a trained team: win rate, return, length, survival."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from rllib_qatten.envs import TeamSpec, TeamStep, TeamVector
from rllib_qatten.errors import EnvFailed
from rllib_qatten.evaluation.estimate import Estimate, or_none
from rllib_qatten.evaluation.team_policy import TeamPolicy
from rllib_qatten.rollout.episode import Recorder, TeamEpisode, not_finite
from rllib_qatten.rollout.quotas import play_shares


@dataclasses.dataclass
class Evaluation:
    """Evaluation games and their statistics.

    Attributes:
        spec: The team's spec, in the environment that was played.
        episodes: The games.
        dropped: Number of games without a result, such as crashed ones; not among the episodes.
        env_steps: Steps of all games.
        env_steps_per_second: Speed from the second step on, since the first one may compile; NaN
            if there was only one.
    """

    spec: TeamSpec
    episodes: list[TeamEpisode]
    dropped: int
    env_steps: int
    env_steps_per_second: float

    @property
    def win_rate(self) -> Estimate | None:
        """Share of games won, with its interval; None for games that are not won or lost."""
        if not self.spec.is_battle:
            return None
        wins, games = sum(bool(e.won) for e in self.episodes), len(self.episodes)
        return Estimate.of_share(wins, games)

    @property
    def episode_return(self) -> Estimate:
        """Mean undiscounted return, with Student's interval, or the range of few games."""
        return Estimate.of_mean([e.episode_return for e in self.episodes])

    @property
    def episode_len(self) -> Estimate:
        """Mean length in steps, the same way; no game is shorter than a step or over its limit."""
        longest = self.spec.episode_limit or np.inf
        return Estimate.of_mean([len(e) for e in self.episodes], least=1, most=longest)

    @property
    def survival(self) -> np.ndarray:
        """[N]: the share of games in which an agent was alive at the end."""
        return np.mean([e.alive[-1] for e in self.episodes], 0)

    @property
    def time_alive(self) -> np.ndarray:
        """[N]: the share of steps that an agent began alive, mean over games."""
        return np.mean([e.alive[:-1].mean(0) for e in self.episodes], 0)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values, including each game."""
        agents = zip(map(str, self.spec.agents), self.survival, self.time_alive, strict=True)
        return {
            "engine": self.spec.engine,
            "num_episodes": len(self.episodes),
            "games_dropped": self.dropped,
            "win_rate": None if self.win_rate is None else self.win_rate.to_dict(),
            "episode_return": self.episode_return.to_dict(),
            "episode_len": self.episode_len.to_dict(),
            "agents": {
                str(agent): {"survival": float(survival), "time_alive": float(alive)}
                for agent, survival, alive in agents
            },
            "env_steps": self.env_steps,
            "env_steps_per_second": or_none(self.env_steps_per_second),
            "episodes": [
                {
                    "return": e.episode_return,
                    "length": len(e),
                    "won": e.won,
                    "terminated": e.terminated,
                    "alive_at_end": e.alive[-1].tolist(),
                    "steps_alive": e.alive[:-1].sum(0).tolist(),
                }
                for e in self.episodes
            ],
        }


def evaluate(
    policy: TeamPolicy,
    teams: TeamVector,
    episodes: int = 100,
    seed: int | None = None,
    on_games: Callable[[int], None] = lambda ended: None,
) -> Evaluation:
    """Plays greedy games, exactly as many as requested.

    Args:
        policy: The team; it is reset, and fitted to the games.
        teams: Games to play in, as from `make_games`.
        episodes: How many games.
        seed: Seed of the games; the same seed gives the same games.
        on_games: Called with the number of games that just ended.

    Raises:
        EnvFailed: If an environment raises, or gives NaN or infinity.
        TeamContractError: If one breaks its contract.
    """
    policy = policy.fitted(teams.spec)
    recorder = Recorder(teams.spec, teams.num_games)
    view = teams.reset(seed)
    policy.reset()
    recorder.begin(view)
    dropped = 0
    first: tuple[int, float] | None = None

    def refuse(where: str) -> NoReturn:
        raise EnvFailed(
            f"The environment {teams.spec.engine} gave NaN or infinity {where}: its scores would "
            "mean nothing."
        )

    def play(steps: int, _: np.ndarray) -> tuple[TeamStep, list[TeamEpisode]]:
        nonlocal view, dropped, first
        blind = ~np.isfinite(view.observations).all((1, 2))
        if blind.any():  # a team would not act on them
            refuse(f"in its observations at step {recorder.steps[blind][0]} of a game")
        actions = policy.act(view.observations, view.legal_actions)
        step = teams.step(actions)
        ended = recorder.record(actions, step)
        for episode in ended:
            if where := not_finite(episode):
                refuse(where)
        policy.reset(step.done)
        view = step.view
        dropped += int(step.dropped.sum())
        first = first or (steps + teams.num_games, time.perf_counter())
        on_games(len(ended))
        return step, ended

    steps, finished = play_shares(play, teams.num_games, episodes)
    assert first is not None
    later, seconds = steps - first[0], time.perf_counter() - first[1]
    speed = later / seconds if later else float("nan")
    return Evaluation(teams.spec, finished, dropped, steps, speed)
