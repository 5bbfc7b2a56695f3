"""Files next to a trial's results: progress.csv and result.json without gaps, and its record."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from ray.tune.experiment import Trial
from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback, LoggerCallback
from ray.tune.result import EXPR_PROGRESS_FILE

from rllib_qatten import keys
from rllib_qatten.experiment.record import record


class _KeepsFile(LoggerCallback):
    """A continued trial keeps its local file.

    Tune would download the synced copy, which lacks the rows since the last sync: with population
    based training, one row per exploit.
    """

    def _restore_from_remote(self, file_name: str, trial: Trial) -> None:
        file = Path(trial.local_path, file_name)
        if file.exists():
            return
        super()._restore_from_remote(file_name, trial)
        if file.exists():  # copied while a row was being written
            rows = file.read_bytes()
            file.write_bytes(rows[: rows.rfind(b"\n") + 1])


class JSONCurves(_KeepsFile, JsonLoggerCallback):
    """Tune's result.json without gaps."""


class CSVCurves(_KeepsFile, CSVLoggerCallback):
    """Tune's progress.csv without gaps; its columns stay those of the header."""

    def _setup_trial(self, trial: Trial) -> None:
        super()._setup_trial(trial)
        if self._trial_continue[trial]:
            # Tune would use the columns of the next result, which may differ.
            with open(Path(trial.local_path, EXPR_PROGRESS_FILE), newline="") as file:
                columns = next(csv.reader(file))
            self._trial_csv[trial] = csv.DictWriter(self._trial_files[trial], columns)


class Command(LoggerCallback):
    """Saves a trial's algorithm, the command that started it and what it ran on, for reports."""

    def __init__(self, command: str) -> None:
        """Takes the command as a shell command line."""
        self._command = command

    def log_trial_start(self, trial: Trial) -> None:
        """Writes it next to the results."""
        trial.init_local_path()
        folder = Path(trial.local_path)
        (folder / keys.COMMAND_FILE).write_text(f"{self._command}\n", encoding="utf-8")
        file = folder / keys.RECORD_FILE
        if not file.exists():  # a continued trial keeps that of its beginning
            known = {"algorithm": trial.trainable_name, **record(self._command)}
            file.write_text(json.dumps(known, indent=1), encoding="utf-8")
