"""What goes wrong in a remote env runner, on its way to where training can stop for it."""

from __future__ import annotations

import contextlib
import pickle
import re
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorDiedError
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from rllib_qatten import keys
from rllib_qatten.errors import EngineFailed
from rllib_qatten.messages import say

#: Times `sample_timeout_s` without a game after which no env runner is waited for.
PATIENCE = 3.0
#: How often the process of an env runner may end while it is made.
ATTEMPTS = 3
#: Seconds between two looks whether an env runner is back.
RESTART_S = 1.0


class Failure:
    """Why a remote env runner cannot play, in the place of its episodes.

    What it raised, RLlib would only log, and restart the runner forever.

    Args:
        error: What was raised.
        worker_index: The runner's.

    Attributes:
        error: The same, or its words if it cannot leave its process.
    """

    def __init__(self, error: Exception, worker_index: int) -> None:
        """See class."""
        words = "".join(traceback.format_exception(error))
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # an error of the user's own class
            error = EngineFailed(f"{type(error).__name__}: {error}")
        error.add_note(f"In env runner {worker_index}:\n{words}")
        self.error = error

    def env_steps(self) -> int:
        """None were played; RLlib asks what it takes for an episode."""
        return 0

    def agent_steps(self) -> int:
        """None, too."""
        return 0


class StopsForEvaluation(RLlibCallback):
    """Raises what an evaluation's remote env runners raised; RLlib takes their metrics alone."""

    def on_evaluate_end(
        self, *, algorithm: Algorithm, evaluation_metrics: dict[str, Any], **kwargs: Any
    ) -> None:
        """Looks into the metrics, and asks the runners only if one has failed."""
        if evaluation_metrics.get(keys.ENV_RUNNERS, {}).get(keys.ENV_RUNNERS_FAILED):
            group = algorithm.eval_env_runner_group
            for failure in group.foreach_env_runner(lambda runner: runner.failure):
                if failure is not None:
                    raise failure.error


@contextlib.contextmanager
def in_few_attempts(worker_index: int) -> Iterator[None]:
    """Around the making of a remote env runner, whose process an env may end without an exception.

    Ray would begin again in another one, a thousand times, and RLlib would wait for it.

    Raises:
        EngineFailed: In place of one attempt too many.
    """
    actor = ray.get_runtime_context().get_actor_id() if ray.is_initialized() else None
    if actor is None:
        yield
        return
    file = Path(tempfile.gettempdir(), f"rllib_qatten_env_runner_{actor}")
    ended = int(file.read_text() or 0) if file.exists() else 0
    if ended == ATTEMPTS:
        file.unlink()
        raise EngineFailed(
            f"the process of env runner {worker_index} has ended {ended} times while its env was "
            "made and checked, without an exception: native code that crashes, os._exit() or too "
            "little memory. Make the env in a Python of its own to see which."
        )
    with contextlib.suppress(OSError):  # a full disk is others' to tell of
        file.write_text(str(ended + 1))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def assert_built(group: EnvRunnerGroup | None, config: AlgorithmConfig) -> None:
    """Waits until the remote env runners are built; RLlib would go on without those that are not.

    Args:
        group: The env runners; None if there are none.
        config: Says how long to wait, and whether some may be missing.

    Raises:
        EngineFailed: If one could not be built, with what its env, for instance, raised.
    """
    if group is None or not group.num_remote_env_runners():
        return
    # The group's own calls leave out errors.
    pings = group._worker_manager.foreach_actor(
        lambda runner: runner.ping(), healthy_only=False, timeout_seconds=config.sample_timeout_s
    ).result_or_errors
    answers = ((ping.actor_id, ping.get()) for ping in pings)
    failed = [
        (index, _raised(error))
        for index, error in answers
        if isinstance(error, ActorDiedError) and error.actor_init_failed
    ]
    if not failed:
        return
    (first, why), number = failed[0], group.num_remote_env_runners()
    message = f"{len(failed)} of {number} env runners could not be built; number {first}: {why}"
    if len(failed) == number or not config.ignore_env_runner_failures:
        raise EngineFailed(message)
    say(f"{message} The others go on (ignore_env_runner_failures).")


def group_of(error: IndexError) -> EnvRunnerGroup | None:
    """The group that RLlib was making when it took the first of no answers.

    If no env runner can be built, RLlib logs why, and ends so. Only the traceback still has the
    group that knows more.
    """
    owners = (frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__))
    return next((owner for owner in owners if isinstance(owner, EnvRunnerGroup)), None)


def _raised(error: ActorDiedError) -> str:
    """What was raised, out of Ray's words: what follows the traceback, or the last line."""
    lines = str(error).splitlines()
    code = [i for i, line in enumerate(lines) if line.startswith('  File "')]
    last = code[-1] if code else len(lines)
    said = (i for i, line in enumerate(lines) if i > last and line and not line.startswith(" "))
    # An error of this package needs no name.
    return re.sub(r"^rllib_qatten[.\w]*: ", "", "\n".join(lines[next(said, -1) :]))


class Silence:
    """Ends training when no env runner has brought a game for too long.

    RLlib keeps asking silently when all runners hang or are gone for good.

    Args:
        sample_timeout_s: Seconds that a round waits for runners; None waits forever.
    """

    def __init__(self, sample_timeout_s: float | None) -> None:
        """See class."""
        self._timeout_s = sample_timeout_s
        self._since: float | None = None

    def heard(self, anything: bool, group: EnvRunnerGroup) -> None:
        """Takes the outcome of a round.

        Args:
            anything: Whether any env runner answered.
            group: The env runners.

        Raises:
            EngineFailed: After `PATIENCE` times the timeout without an answer; at once if all
                remote env runners are gone for good.
        """
        if anything:
            self._since = None
            return
        now = time.monotonic()
        alive = group.num_healthy_remote_env_runners()
        if not alive:
            _wait_for_one(group)
        if self._since is None:
            self._since = now
        elif self._timeout_s and now - self._since >= PATIENCE * self._timeout_s:
            raise EngineFailed(
                f"No env runner has brought a game for {now - self._since:.0f} s; {alive} of "
                f"{group.num_remote_env_runners()} are alive. If a round of games takes longer "
                f"than sample_timeout_s: {self._timeout_s:g}, raise it; else see above why they "
                "ended or hang (max_num_env_runner_restarts says how often each is restarted)."
            )


def _wait_for_one(group: EnvRunnerGroup) -> None:
    """Gives restarting env runners a second; without one RLlib would ask at once.

    Raises:
        EngineFailed: If none of them is.
    """
    until = time.monotonic() + RESTART_S
    # The group's own calls leave out errors.
    pings = group._worker_manager.foreach_actor(
        lambda runner: runner.ping(), healthy_only=False, timeout_seconds=RESTART_S
    ).result_or_errors
    gone = [ping for ping in pings if isinstance(ping.get(), ActorDiedError)]
    if len(gone) == group.num_remote_env_runners():
        raise EngineFailed(
            f"All env runners ({len(gone)}) have ended, and none is restarted: see above why "
            "they ended (restart_failed_env_runners and max_num_env_runner_restarts say whether "
            "and how often each is)."
        )
    if not any(ping.ok for ping in pings):
        time.sleep(max(0.0, until - time.monotonic()))
