"""When training ends: at a criterion, when its time is up, or on request."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import time
from collections.abc import Iterator
from typing import Any

import ray
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial
from ray.tune.result import SHOULD_CHECKPOINT
from ray.tune.utils import flatten_dict

from rllib_qatten.errors import BadInput

#: Seconds that the running iteration has after SIGTERM or SIGHUP; schedulers kill after 30.
GRACE, GRACE_SETTING = 20.0, "RLLIB_GRACE_S"
FINISHING = "\nStopping after this iteration, with a checkpoint."
AGAIN = " Ctrl-C again stops at once, without one."
WITHIN = " If that takes over {grace:g} s ({setting}), the last checkpoint remains the newest."


class StopRequest:
    """Whether somebody asked this process to stop: Ctrl-C, SIGTERM or SIGHUP.

    While trials run, the first signal is noted and a second Ctrl-C raises `KeyboardInterrupt`;
    before that, any signal raises it at once; at the end, signals are ignored. A scheduler may send
    its signal several times, always with the same meaning.

    Attributes:
        signum: The first signal received; None before.
        deadline: When to give up what still runs, in `time.monotonic`'s seconds.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        """Reads the grace time.

        Raises:
            BadInput: If it is no number of seconds.
        """
        self.signum: int | None = None
        self.deadline = math.inf
        self._hear = self._interrupt
        text = os.environ.get(GRACE_SETTING, str(GRACE))
        try:
            self._grace = float(text)
        except ValueError:
            self._grace = math.nan
        if not self._grace >= 0:
            raise BadInput(f"{GRACE_SETTING} must be seconds, 0 or more; got {text!r}.")

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """A context in which this object handles signals."""
        before = {signum: signal.getsignal(signum) for signum in self.SIGNALS}
        self.listen()
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def listen(self) -> None:
        """Installs the signal handlers, also over Ray's, which takes SIGTERM when it starts."""
        for signum in self.SIGNALS:
            # A command started with nohup should outlive the terminal.
            if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, lambda signum, frame: self._hear(signum))

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """A context in which there is something to finish."""
        self._hear = self._note
        try:
            yield
        finally:
            self._hear = self._interrupt

    @contextlib.contextmanager
    def deferring(self) -> Iterator[None]:
        """A context that is not interrupted; a signal meanwhile interrupts at its end."""
        self._hear = self._defer
        try:
            yield
        finally:
            self._hear = self._interrupt
        if self.signum is not None:
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """Ignores signals from here on: everything is ending anyway."""
        self._hear = lambda signum: None

    def _defer(self, signum: int) -> None:
        self.signum = self.signum or signum
        drop_dead_outputs()

    def _interrupt(self, signum: int) -> None:
        self._defer(signum)
        raise KeyboardInterrupt

    def _note(self, signum: int) -> None:
        first = self.signum is None
        if not first and signum == signal.SIGINT:
            raise KeyboardInterrupt
        if signum != signal.SIGINT:
            self.deadline = min(self.deadline, time.monotonic() + self._grace)
            drop_dead_outputs()
        if first:
            self.signum = signum
            within = WITHIN.format(grace=self._grace, setting=GRACE_SETTING)
            text = FINISHING + (AGAIN if signum == signal.SIGINT else within) + "\n"
            # A print must not interrupt another print; a write may.
            with contextlib.suppress(OSError):
                os.write(2, text.encode())


def drop_dead_outputs() -> None:
    """Discards output to a closed terminal or pipe, which would raise an error."""
    for output in (1, 2):
        poll = select.poll()
        poll.register(output, 0)
        if poll.poll(0):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, output)
            os.close(nowhere)


class Stopping(Stopper, Callback):
    """Stops a trial at its criteria, and all trials on request or when their time is up.

    Tune asks it as a stopper whether a trial is finished; as a callback it sees how trials go on.
    It must be the last callback: those that write results must not see what it adds to them.

    On request, trials end unfinished, each with a checkpoint, so that the run can be restored as if
    it had never stopped. A criterion whose key is not in a result is not met, since not every
    result has an evaluation.

    Attributes:
        criteria: Result key -> value; the first that is reached or exceeded stops.
        interrupted: Whether trials ended unfinished.
        cut_off: Whether any of them ended in the middle of an iteration.
    """

    _newest: Stopping | None = None

    def __init__(
        self,
        criteria: dict[str, float],
        request: StopRequest | None = None,
        time_budget_s: float | None = None,
    ) -> None:
        """Sets what stops a trial.

        Args:
            criteria: See class.
            request: The user's request to stop; by default there is never one.
            time_budget_s: Seconds after which all trials end.
        """
        self.criteria = criteria
        self.interrupted = self.cut_off = False
        self._request = request
        self._over = time.monotonic() + (time_budget_s or math.inf)
        # Trials running at the time of the request finish their iteration; others never start.
        self._finishing: set[str] | None = None
        self._saved: set[str] = set()
        Stopping._newest = self

    def __reduce__(self) -> tuple[Any, ...]:
        """Restored by Tune with an earlier run, it becomes the current run's object."""
        return _newest, ()

    @property
    def requested(self) -> bool:
        """Whether running trials should end."""
        return self.time_is_over or (self._request is not None and self._request.signum is not None)

    @property
    def time_is_over(self) -> bool:
        """Whether the experiment's time budget is used up."""
        return time.monotonic() > self._over

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether this trial ends with this result."""
        return reached(self.criteria, result)

    def stop_all(self) -> bool:
        """Never: Tune would end all trials at once, and as finished."""
        return False

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Asks for a checkpoint if this result is a trial's last one."""
        if self.requested:
            result[SHOULD_CHECKPOINT] = True

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Notes that a trial has a new checkpoint; a sweep that is stopping waits for these."""
        if self.requested:
            self._saved.add(trial.trial_id)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Ends the experiment as soon as possible; called after every event and ten times a second.

        On SIGUSR1, Tune saves its state and ends.
        """
        if self.interrupted or not self.requested:
            return
        drop_dead_outputs()
        running = {trial.trial_id: trial for trial in trials if trial.status == Trial.RUNNING}
        if self._finishing is None:
            self._finishing = set(running)
        self._finishing &= running.keys() - self._saved
        late = self._request is not None and time.monotonic() > self._request.deadline
        if self._finishing and not late:
            return
        self.interrupted, self.cut_off = True, bool(self._finishing)
        signal.raise_signal(signal.SIGUSR1)
        for trial in running.values():
            # Otherwise Tune waits for the end of an iteration that will be discarded.
            if actor := trial.temporary_state.ray_actor:
                ray.kill(actor)


def reached(criteria: dict[str, float], result: dict[str, Any]) -> bool:
    """Whether a result meets one of the criteria, see `Stopping`."""
    flat = flatten_dict(result)
    return any(flat.get(key, -math.inf) >= goal for key, goal in criteria.items())


def _newest() -> Stopping:
    return Stopping._newest or Stopping({})
