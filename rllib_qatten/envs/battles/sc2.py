"""StarCraft II through SMAC or SMACv2, as a vector of teams: one process per game.

The processes step in parallel and answer in arrays. A game that crashes, hangs or answers with an
error is dropped: its episode ends as truncated after its last good step, and its slot begins
another game in a new process.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from rllib_qatten.envs.battles.sc2_process import GameProcess, Lost, Refused, answers, ask
from rllib_qatten.envs.battles.sc2_settings import SC2Settings
from rllib_qatten.envs.team import TeamStep, TeamVector, TeamView
from rllib_qatten.errors import EngineFailed
from rllib_qatten.hardware import machine
from rllib_qatten.messages import say

#: Failures to begin a game, in a row, after which it is given up; each waits twice as long.
STARTS, FIRST_WAIT = 6, 0.5
#: Battles lost, with none that came to its end between them, after which something must be wrong
#: with all: so many, or twice the games that are played at once.
LOST_IN_A_ROW = 20
#: A game takes longer to launch than to step.
LAUNCH_FACTOR = 3


class SC2Teams(TeamVector):
    """G battles of StarCraft II, each in a process of its own.

    Actions: 0 no-op (only and always of the dead), 1 stop, 2 to 5 move, 6 + k attack enemy k (a
    Medivac heals ally k). Rewards, observations, state and legal actions are SMAC's own. Nothing is
    launched before the first reset.
    """

    replay_ending = ".SC2Replay"

    def __init__(self, settings: SC2Settings, num_games: int = 1) -> None:
        """Prepares the games.

        Args:
            settings: What is played, and how.
            num_games: G; more than `max_game_processes` are not played, which is said.
        """
        most = settings.max_game_processes
        if num_games > most:
            say(
                f"{num_games} games at once were asked for and {most} are played, as each takes a "
                "process of StarCraft II. To play them all: env_config.max_game_processes: "
                f"{num_games}."
            )
        super().__init__(settings.spec, min(num_games, most))
        num_games = self.num_games
        self._settings = settings
        self._seeds = np.random.SeedSequence()
        self._games: dict[int, GameProcess] = {}
        self._view = TeamView.blank(self.spec, num_games)
        # Per slot: steps of its battle, battles of its process.
        self._steps, self._battles = np.zeros((2, num_games), np.int64)
        self._begun = np.zeros(num_games, bool)
        #: Battles lost since one came to its end, and whether that was ever said.
        self._lost, self._said = 0, False
        self._measured = False

    def reset(self, seed: int | None = None) -> TeamView:
        """See base class. A seed needs new games; else battles that have just begun are kept."""
        if seed is not None:
            self._seeds = np.random.SeedSequence(seed)
            self.close()
        self._view = self._view.copy()
        if not self._games:
            say(f"Launching {self.num_games} game(s) of StarCraft II, a process each ...")
        if not self._measured and max(self.num_games, len(self.asked_by_all)) > 1:
            self._begin([0])
            self._predict_memory()
        self._begin(np.flatnonzero(~self._begun | (self._steps > 0)).tolist())
        return self._view

    def _predict_memory(self) -> None:
        """Says what all games will take, by the first one.

        Raises:
            EngineFailed: If that is more than there is.
        """
        self._measured = True
        each = ask(self._games[0], self._settings.hang_timeout_s, "memory")
        if isinstance(each, Lost):
            return  # the next step says why
        more, free = each * (self.num_games - 1), machine.available_memory()
        takes = (
            f"{self.num_games} game(s) of StarCraft II take about "
            f"{machine.gigabytes(each * self.num_games)}, by the first of them"
        )
        if more > free:
            self.close()
            raise EngineFailed(
                f"{takes}; {machine.gigabytes(free + each)} are there. Play fewer at once: "
                f"num_envs_per_env_runner: {max(1, 1 + free // each)}, or fewer env runners."
            )
        say(f"{takes}; {machine.gigabytes(free)} more are free.{self._all_together(each)}")

    def _all_together(self, each: int) -> str:
        """What the env runners of a run, its evaluation's included, will take in all."""
        if len(self.asked_by_all) < 2:
            return ""
        games = sum(min(asked, self._settings.max_game_processes) for asked in self.asked_by_all)
        return (
            f" The {len(self.asked_by_all)} env runners of this run, evaluation included, play "
            f"{games} at once: about {machine.gigabytes(each * games)}."
        )

    def step(self, actions: np.ndarray) -> TeamStep:
        """See base class.

        An illegal action, as RLlib's env check plays, is replaced by no-op or stop: SMAC would end.

        Raises:
            EngineFailed: If games are lost all the time.
        """
        before = self._view
        legal = np.take_along_axis(before.legal_actions, actions[..., None], -1)[..., 0]
        actions = np.where(legal, actions, before.legal_actions.argmax(-1))
        for g, process in self._games.items():
            process.send("step", actions[g].tolist())
        rewards = np.zeros(self.num_games, np.float32)
        terminated, truncated, won, dropped = np.zeros((4, self.num_games), bool)
        final = before.copy()
        for g, answer in answers(dict(self._games), self._settings.hang_timeout_s):
            if isinstance(answer, Lost):
                dropped[g] = truncated[g] = True
                self._lost += 1
                self._drop(g, answer, self._lost >= max(LOST_IN_A_ROW, 2 * self.num_games))
                continue
            rewards[g], how, won[g], *seen = answer
            _write(final, g, *seen)
            limit = how == "time_limit"
            terminated[g] = how == "over" or (limit and self._settings.time_limit_terminal)
            truncated[g] = limit and not terminated[g]
        if (terminated | truncated)[~dropped].any():
            self._lost = 0
        self._steps += 1
        self._view = final
        done = terminated | truncated
        if done.any():
            self._battles[done] += 1
            self._view = final.copy()
            self._begin(np.flatnonzero(done).tolist())
        return TeamStep(rewards, terminated, truncated, won, final, self._view, dropped)

    def save_replay(self) -> bytes:
        """See base class; it is of all the first game's battles since its launch."""
        replay = ask(self._games[0], self._settings.hang_timeout_s, "save_replay")
        if isinstance(replay, Lost):
            raise EngineFailed(f"StarCraft II saved no replay: {replay}.")
        return replay

    def close(self) -> None:
        """Ends all games; a reset would start new ones."""
        for process in self._games.values():
            process.close()
        self._games.clear()
        self._begun[:] = False

    def _begin(self, slots: Iterable[int]) -> None:
        """Begins a battle in each of these slots and writes its first view."""
        every = self._settings.full_restart_episodes
        wait = FIRST_WAIT
        for attempt in range(1, STARTS + 1):
            failed = []
            for g in slots:
                if every and self._battles[g] >= every and g in self._games:
                    self._games.pop(g).close()
                if g not in self._games:
                    seed = int(self._seeds.spawn(1)[0].generate_state(1)[0] >> 1)
                    self._games[g] = self._settings.start(seed)
                    self._battles[g] = 0
                self._games[g].send("reset")
            asked = {g: self._games[g] for g in slots}
            for g, answer in answers(asked, LAUNCH_FACTOR * self._settings.hang_timeout_s):
                if isinstance(answer, Lost):
                    failed.append(g)
                    self._drop(g, answer, attempt == STARTS or isinstance(answer, Refused))
                    continue
                _write(self._view, g, *answer[3:])
                self._steps[g], self._begun[g] = 0, True
            if not failed:
                return
            slots = failed
            time.sleep(wait)
            wait *= 2

    def _drop(self, g: int, why: Lost, give_up: bool) -> None:
        """Ends a game that failed.

        Raises:
            EngineFailed: If there is no use in trying again.
        """
        words = self._games.pop(g).close()
        self.game_restarts += 1
        self._begun[g] = False
        if give_up:
            self.close()
            how = "cannot begin a battle" if isinstance(why, Refused) else "failed again and again"
            raise EngineFailed(
                f"StarCraft II {how}: {why}."
                + (f" It printed: {words}" if words else "")
                + " `rllib doctor` looks for the cause."
            )
        if not self._said:
            self._said = True
            say(
                f"A game of StarCraft II was lost ({why}). Another one is launched, and its battle "
                "is in no result. Further ones are counted: games_dropped, game_restarts."
            )


def _write(view: TeamView, g: int, observations: Any, state: Any, legal: Any) -> None:
    view.observations[g] = observations
    view.state[g] = state
    view.legal_actions[g] = legal
    # SMAC's living units never have the no-op, its dead ones nothing else.
    view.alive[g] = ~legal[:, 0]
