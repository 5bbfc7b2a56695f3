"""Python environments that raise, hang or never end: reported, and restarted where allowed."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.rllib.env.env_errors import StepFailedRecreateEnvError
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_qatten.envs.checker import STEPS
from rllib_qatten.envs.team import TeamContractError
from rllib_qatten.errors import EngineFailed, EnvFailed, described
from rllib_qatten.messages import say

#: Seconds after which a slow call is reported; reported again each time they have doubled.
LONG_CALL_S = 60.0
#: Steps after which a game without an end is reported.
ENDLESS_STEPS = 10_000
#: Faults of one game's env, with no game played to its end between them, before it is given up.
FAULTS_IN_A_ROW = 10
#: What a step returns whose env raised and was made anew; None is what many a broken env returns.
LOST: Any = object()


@dataclass(frozen=True)
class EnvRules:
    """How a vector treats Python environments.

    Attributes:
        restart_failed: An env that raises is recreated and its game dropped; else that is an error.
        max_episode_steps: Steps after which a game is truncated.
        hang_timeout_s: Seconds in one call after which the process ends itself, so that whatever
            started it can start another; None waits forever.
    """

    restart_failed: bool = False
    max_episode_steps: int | None = None
    hang_timeout_s: float | None = None


class CallWatch:
    """Reports calls into a user's code that don't return.

    A thread checks every second; a call costs no more than reading the clock.

    Args:
        hang_timeout_s: See `EnvRules`.

    Attributes:
        call: What is being called, as a format and its arguments, and since when; None for nothing.
    """

    def __init__(self, hang_timeout_s: float | None = None) -> None:
        """See class."""
        self._hang_timeout_s = hang_timeout_s
        self.call: tuple[str, tuple[Any, ...], float] | None = None
        self._reported: tuple[tuple[Any, ...], float] | None = None
        period = min(1.0, LONG_CALL_S / 4, (hang_timeout_s or 60.0) / 4)
        threading.Thread(
            target=_look_again, args=(weakref.ref(self), period), daemon=True, name="call watch"
        ).start()

    @contextlib.contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Watches a block."""
        self.call = ("{}", (what,), time.monotonic())
        try:
            yield
        finally:
            self.call = None

    def look(self) -> None:
        """Reports a slow call; ends the process after `hang_timeout_s`."""
        call = self.call
        if call is None:
            return
        what, args, since = call
        seconds = time.monotonic() - since
        if self._hang_timeout_s and seconds >= self._hang_timeout_s:
            say(
                f"{what.format(*args)} hasn't returned for {seconds:.0f} s (sample_timeout_s, in "
                "evaluation evaluation_sample_timeout_s): this env runner ends; its games are lost."
            )
            os._exit(1)
        after = self._reported[1] if self._reported and self._reported[0] is call else LONG_CALL_S
        if seconds >= after:
            say(f"{what.format(*args)} hasn't returned for {seconds:.0f} s.")
            self._reported = (call, 2 * after)


def _look_again(watch: weakref.ref[CallWatch], period: float) -> None:
    while True:
        time.sleep(period)
        alive = watch()
        if alive is None:
            return
        alive.look()
        del alive


def checked(
    env: MultiAgentEnv,
    check: Callable[[MultiAgentEnv], None],
    make: Callable[[], MultiAgentEnv],
    rules: EnvRules,
) -> MultiAgentEnv:
    """The first env of a vector, once it has passed the check.

    Args:
        env: The env.
        check: Plays it and raises `TeamContractError`.
        make: Creates another, where an env that raised may be recreated.
        rules: Whether it may be.
    """
    watch = CallWatch()  # many calls in one: reported, not ended
    answered: list[str] = []
    for attempt in range(1, FAULTS_IN_A_ROW + 1):
        raised: list[BaseException] = []
        name = type(env.unwrapped).__name__
        own = {call: vars(env).get(call) for call in ("reset", "step")}
        for call in own:
            setattr(env, call, _noting(getattr(env, call), raised, answered))
        try:
            with watch.during(f"The check of the env {name} (a reset and a few steps)"):
                check(env)
            return env
        except TeamContractError:
            if not raised or not rules.restart_failed or attempt == FAULTS_IN_A_ROW:
                raise
        finally:
            for call, before in own.items():
                vars(env).pop(call) if before is None else setattr(env, call, before)
        if _worth_reporting(attempt):
            first = described(raised[0])
            say(f"{name} raised {first} in its check and is recreated (fault {attempt}).")
        env = make()
        if len(answered) >= STEPS:  # together as much as a check plays
            return env
    raise AssertionError("not reached")


def _worth_reporting(fault: int) -> bool:
    """Keeps the log from filling with hundreds of lines."""
    return fault <= 3 or fault.bit_count() == 1


def _noting(
    call: Callable[..., Any], raised: list[BaseException], answered: list[str]
) -> Callable[..., Any]:
    """The same call, which records what it raises, and that it did not."""

    @functools.wraps(call)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            answer = call(*args, **kwargs)
        except TeamContractError:
            raise
        except (Exception, SystemExit) as error:
            raised.append(error)
            raise
        answered.append(call.__name__)
        return answer

    return called


class PythonGames:
    """The envs of a vector of teams, one per game.

    Args:
        envs: Changed in place when one is recreated.
        name: Their name in messages.
        has_state: Whether they have a `state()`.
        make: Creates one more; needed to recreate one.
        rules: What to do about faults and games without an end.

    Attributes:
        restarts: Envs recreated so far.
        steps: [G], steps of the games under way.
        first: [G], what the last reset returned.
        last: [G], the actions of the last step and what it returned.
        states: [G], the last `state()`, if there is one.
    """

    def __init__(
        self,
        envs: list[MultiAgentEnv],
        name: str,
        has_state: bool,
        make: Callable[[], MultiAgentEnv] | None = None,
        rules: EnvRules | None = None,
    ) -> None:
        """See class."""
        self._envs, self._name, self._has_state, self._make = envs, name, has_state, make
        self._rules = rules or EnvRules()
        self._watch = CallWatch(self._rules.hang_timeout_s)
        self.restarts = 0
        self.steps = [0] * len(envs)
        self.first: list[Any] = [None] * len(envs)
        self.last: list[Any] = [None] * len(envs)
        self.states: list[Any] = [None] * len(envs)
        self._faults = [0] * len(envs)
        self._said_endless = False
        self._unseeded: set[int] = set()
        self._seeds: np.random.Generator | None = None

    def seed(self, seed: int) -> None:
        """Seeds those that are recreated later."""
        self._seeds = np.random.default_rng([seed, 1])

    def reset(self, g: int, seed: int | None = None) -> Any:
        """Starts game g; returns what its env returns.

        Raises:
            EnvFailed: If it raises and may not be recreated, or raises again and again.
        """
        if self.steps[g]:  # otherwise a fault broke off the previous game
            self._faults[g] = 0
        while True:
            if g in self._unseeded and self._seeds is not None:
                seed = int(self._seeds.integers(2**31))
            env = self._envs[g]
            self._watch.call = ("reset() of {} (game {})", (self._name, g), time.monotonic())
            try:
                began = env.reset() if seed is None else env.reset(seed=seed)
                if self._has_state:
                    self.states[g] = env.state()
            except (Exception, SystemExit) as error:
                self._failed(g, error, "reset()")
                continue
            finally:
                self._watch.call = None
            self._unseeded.discard(g)
            self.steps[g] = 0
            self.first[g] = began
            return began

    def step(self, g: int, sent: dict[Any, int]) -> Any:
        """Plays one step of game g.

        Returns:
            What its env returns; `LOST` if it raised and was made anew: the game is lost.

        Raises:
            EnvFailed: See `reset`.
        """
        env = self._envs[g]
        steps = self.steps[g] = self.steps[g] + 1
        watch = self._watch
        watch.call = ("step() of {} (game {}, step {})", (self._name, g, steps), time.monotonic())
        try:
            played = env.step(dict(sent))  # which an env may change
            if self._has_state:
                self.states[g] = env.state()
        except (Exception, SystemExit) as error:
            self._failed(g, error, f"step {steps} of a game")
            return LOST
        finally:
            watch.call = None
        self.last[g] = (sent, played)
        return played

    def out_of_steps(self, g: int) -> bool:
        """Whether game g must be truncated now; reports one that seems to have no end."""
        limit, steps = self._rules.max_episode_steps, self.steps[g]
        if limit is not None:
            return steps >= limit
        if steps >= ENDLESS_STEPS and not self._said_endless:
            self._said_endless = True
            say(
                f"{self._name} has played {steps} steps of a game without an end, and only "
                "whole games are learned from. Let it end (terminateds or truncateds['__all__']) "
                "or set max_episode_steps, after which games are truncated."
            )
        return False

    def _failed(self, g: int, error: BaseException, where: str) -> None:
        """Recreates an env, or raises what happened."""
        if isinstance(error, TeamContractError | EngineFailed):
            raise error
        self._watch.call = None
        if self._make is None or not self._rules.restart_failed:
            raise EnvFailed(
                f"{self._raised(error, where)}. In training, "
                "fault_tolerance(restart_failed_sub_environments=True) drops such a game, "
                "recreates the env and continues."
            ) from error
        self._count(g, error, where)
        with contextlib.suppress(Exception):  # a broken env may fail to close
            self._envs[g].close()
        self.steps[g] = 0
        self._unseeded.add(g)
        while True:
            try:
                self._envs[g] = self._make()
                return
            except (Exception, SystemExit) as again:
                self._count(g, again, "its constructor")

    def _count(self, g: int, error: BaseException, where: str) -> None:
        """Counts a fault; too many in a row are an error."""
        self.restarts += 1
        self._faults[g] += 1
        if self._faults[g] >= FAULTS_IN_A_ROW:
            raise EnvFailed(
                f"{self._raised(error, where)}, the last of {self._faults[g]} faults in a row "
                "without a game played to its end: the env is not recreated again."
            ) from error
        if isinstance(error, StepFailedRecreateEnvError):
            return  # RLlib promises to log nothing for it
        if _worth_reporting(self.restarts):
            say(
                f"{self._raised(error, where)}. The game is dropped and the env recreated "
                f"(fault {self.restarts} here)."
            )

    def _raised(self, error: BaseException, where: str) -> str:
        return f"{self._name} raised {described(error)} in {where}"
