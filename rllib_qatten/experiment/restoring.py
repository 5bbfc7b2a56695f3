"""`--restore`: a run goes on where it ended, with the settings that it began with.

Tune compares only the names of settings with those of the earlier run, and goes on with the old
values. So a run records its settings, and other ones are refused before Ray starts.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
import shlex
from pathlib import Path
from typing import Any

import pyarrow.fs
from ray.tune import Callback, ResumeConfig, Tuner
from ray.tune.experiment import Trial

from rllib_qatten.checkpoints.location import nearby
from rllib_qatten.envs.battles.armies import with_one_name
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.experiment import Experiment, Fields
from rllib_qatten.experiment.resuming import MARK, MOST
from rllib_qatten.experiment.stopping import Stopping, reached
from rllib_qatten.experiment.tuner import Plan, all_callbacks
from rllib_qatten.messages import say
from rllib_qatten.rollout.changed_settings import changed

#: A run's state as Tune names it, by the time at which a session began; the newest counts.
STATE = re.compile(r"experiment_state-(.+)\.json")
#: Next to it: the `Tuner`; the settings of the run, and when its trials end.
TUNER = "tuner.pkl"
SETTINGS_FILE = "experiment.json"
#: Keys of an experiment that may be others when it goes on.
FREE = {"stop", "storage_path", "time_budget_s", "wandb", "mlflow"}


@dataclasses.dataclass(frozen=True)
class Earlier:
    """What an earlier run of an experiment left.

    Attributes:
        trials: Status and last result of each trial that has begun.
        settings: What it began with; None if nothing recorded it.
        stop: When its trials should end; None if nothing recorded it.
    """

    trials: list[tuple[str, dict[str, Any]]]
    settings: dict[str, Any] | None
    stop: dict[str, float] | None

    def ended(self, num_trials: int) -> bool:
        """Whether all of so many trials have."""
        whole = len(self.trials) >= num_trials
        return whole and all(status == Trial.TERMINATED for status, _ in self.trials)


def record_settings(experiment: Experiment) -> None:
    """Writes a run's settings into its folder, which exists, for a later `--restore`."""
    files, place = pyarrow.fs.FileSystem.from_uri(str(experiment.folder))
    content = {"settings": _settings(experiment), "stop": experiment.stop}
    whole = f"{place}/{SETTINGS_FILE}"
    with files.open_output_stream(f"{whole}.part") as opened:
        opened.write(json.dumps(content, indent=1).encode())
    files.move(f"{whole}.part", whole)


def _settings(experiment: Experiment) -> dict[str, Any]:
    # Without defaults: those of another release may be others.
    fields = experiment.model_dump(include=Fields.model_fields.keys() - FREE, exclude_defaults=True)
    config = fields.pop("config", {})
    return fields | config | {"env": experiment.environment}


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, str, str]]:
    return list(changed(with_one_name(before), with_one_name(now)))


def tell_of_unfinished(plan: Plan) -> None:
    """Says that a run, which `--restore` could continue, is left behind by one that begins anew."""
    experiment = plan.experiment
    if not isinstance(experiment.folder, Path):
        return  # to ask another machine may take minutes
    try:
        left = plan.begun and not read_state(plan).ended(experiment.num_trials)
    except BadInput:
        return  # --restore could not, either
    if left:
        say(
            f"{experiment.folder} holds a run that has not ended: --restore would continue it. "
            "This one begins anew beside it, and --restore will then continue this one. The "
            f"other's newest checkpoint, for a run with another --name: {_resume(experiment)}"
        )


def is_done(plan: Plan) -> bool:
    """Whether an earlier run has nothing left to do, which is said.

    Raises:
        BadInput: If its state is damaged, if it had other settings, or if its trials cannot go on
            to these stop criteria.
    """
    experiment, before = plan.experiment, read_state(plan)
    if before.settings is None:
        say(
            f"--restore: the settings of {experiment.name} were not recorded (by an older release) "
            "or are lost: its trials keep theirs, whatever is said here."
        )
    elif differ := _differences(before.settings, _settings(experiment)):
        more = f"; and {len(differ) - MOST} more" if len(differ) > MOST else ""
        lines = (f"{key} {old} -> {new}" for key, old, new in differ[:MOST])
        raise BadInput(
            f"--restore: {experiment.name} goes on with the settings that it began with; changed: "
            f"{'; '.join(lines)}{more}. For other settings, as a new run: "
            f"{_resume(experiment)}, or from the beginning with another --name."
        )
    if _extends(plan, before) or not before.ended(experiment.num_trials):
        return False
    trials = "its trial has" if len(before.trials) == 1 else f"all {len(before.trials)} trials have"
    later = "" if plan.ends_early else "the same with a later --stop, or, "
    say(
        f"{experiment.name} is finished: {trials} ended, with results in {experiment.folder}. To "
        f"go further: {later}as a new run, {_resume(experiment)} with another --stop."
    )
    return True


def read_state(plan: Plan) -> Earlier:
    """Reads the state of an earlier run to its last byte, as Tune will when it restores it.

    Tune itself would begin all trials anew if it cannot read it.

    Raises:
        BadInput: If it is damaged, naming the newest checkpoint.
    """
    folder = plan.experiment.folder
    files, place = pyarrow.fs.FileSystem.from_uri(str(folder))
    inside = files.get_file_info(pyarrow.fs.FileSelector(place))
    found = sorted(entry.base_name for entry in inside if entry.is_file)
    sessions = [match[1] for name in found if (match := STATE.fullmatch(name))]
    if not sessions:
        raise BadInput(
            f"--restore: {place} holds no state of a run yet. Begin anew without --restore, or "
            f"from a checkpoint, as a new run: {_resume(plan.experiment)}"
        )
    trials: list[tuple[str, dict[str, Any]]] = []
    recorded: dict[str, Any] = {}
    whole = rf"\w.*-{re.escape(max(sessions))}\.(json|pkl)"
    read = [name for name in found if name == SETTINGS_FILE or re.fullmatch(whole, name)]
    for name in (TUNER, *read):
        ours = name == SETTINGS_FILE
        try:
            with files.open_input_stream(f"{place}/{name}") as opened:
                content = opened.readall()
            if ours:
                recorded = json.loads(content)
            elif STATE.fullmatch(name):
                # Of each trial: what it is, and how far it came.
                for parts in json.loads(content)["trial_data"]:
                    trial, data = map(json.loads, parts)
                    trials.append((trial["status"], data["last_result"]))
            else:
                pickle.loads(content)  # whatever their names end in
        except Exception as error:  # pickles raise anything
            raise BadInput(
                f"--restore: {place}/{name} is damaged, so that the state of the run's trials is "
                f"lost ({type(error).__name__}: {error}). From its newest checkpoint, as a new "
                f"run: {_resume(plan.experiment)}"
            ) from error
    return Earlier(trials, recorded.get("settings"), recorded.get("stop"))


def restored_tuner(plan: Plan, *, stop: Stopping, callbacks: list[Callback]) -> Tuner:
    """The `Tuner` that continues an earlier run of the same experiment.

    Args:
        plan: The checked experiment.
        stop: When its trials end.
        callbacks: Tune callbacks, in the order of the earlier run.

    Raises:
        BadInput: If the earlier run had other settings.
    """
    experiment = plan.experiment
    extends = _extends(plan, read_state(plan))
    goes_on, stays = ResumeConfig.ResumeType.RESUME, ResumeConfig.ResumeType.SKIP
    with experiment.locating("config"):
        tuner = Tuner.restore(
            str(experiment.folder),
            plan.trainable,
            param_space=experiment.param_space,
            _resume_config=ResumeConfig(
                finished=goes_on if extends else stays, unfinished=goes_on, errored=goes_on
            ),
        )
    # Tune restored those of the earlier process.
    run_config = tuner._local_tuner.get_run_config()
    run_config.stop = stop
    run_config.callbacks = all_callbacks(plan, stop, callbacks)
    return tuner


def _extends(plan: Plan, before: Earlier) -> bool:
    """Whether trials that have ended go on to a later stop.

    Raises:
        BadInput: If they should, but cannot: Tune goes on with all of them or with none.
    """
    stop = plan.experiment.stop
    ended = [result for status, result in before.trials if status == Trial.TERMINATED]
    further = [result for result in ended if not reached(stop, result)]
    if stop == before.stop or not further:
        return False
    if plan.ends_early:
        why = "a scheduler or a search has judged the trials that have ended"
    elif len(further) < len(ended):
        why = f"{len(ended) - len(further)} of {len(ended)} trials that have ended are past it"
    else:
        return True
    first = "" if before.stop is None else f", --stop {_words(before.stop)}"
    raise BadInput(
        f"--restore: {plan.experiment.name} cannot go on to --stop {_words(stop)}: {why}. Keep "
        f"the one that it began with{first}, or go on with one trial as a new run: "
        f"{_resume(plan.experiment)}."
    )


def _words(stop: dict[str, float]) -> str:
    return " ".join(f"{key}={goal:.10g}" for key, goal in stop.items()) or "never"


def _resume(experiment: Experiment) -> str:
    """The option that begins with the newest checkpoint of a run, if it is on this machine."""
    folder = experiment.folder
    near = nearby(folder, MARK) if isinstance(folder, Path) else []
    return f"--resume {shlex.quote(str(near[0])) if near else 'CHECKPOINT'}"
