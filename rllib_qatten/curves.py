"""progress.csv and result.json of trials that are paused, restarted or restored."""

from __future__ import annotations

import csv
from pathlib import Path

from ray.tune.experiment import Trial
from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback, LoggerCallback
from ray.tune.result import EXPR_PROGRESS_FILE


class _KeepsFile(LoggerCallback):
    """A trial that goes on keeps the file that is here.

    Tune fetches the stored copy, which lacks what came since the last sync: with population based
    training a row per exploit.
    """

    def _restore_from_remote(self, file_name: str, trial: Trial) -> None:
        if not Path(trial.local_path, file_name).exists():
            super()._restore_from_remote(file_name, trial)


class JSONCurves(_KeepsFile, JsonLoggerCallback):
    """Tune's result.json without gaps."""


class CSVCurves(_KeepsFile, CSVLoggerCallback):
    """Tune's progress.csv without gaps; its columns stay those of the header."""

    def _setup_trial(self, trial: Trial) -> None:
        super()._setup_trial(trial)
        if self._trial_continue[trial]:
            # Tune would take the columns of the next result, which may be others.
            with open(Path(trial.local_path, EXPR_PROGRESS_FILE), newline="") as file:
                columns = next(csv.reader(file))
            self._trial_csv[trial] = csv.DictWriter(self._trial_files[trial], columns)
