"""Environment variables that Ray reads on import, so this module does not import Ray."""

from __future__ import annotations

import logging
import os
import sys
import warnings

#: Settings of Ray that reach all its processes only through the environment.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # This package handles Ctrl-C: Tune's own handler would end without a checkpoint.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Relative paths in an experiment mean the user's folder, not the trial's.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Tune's older output can be silenced completely; the newer one announces every run.
    "RAY_AIR_NEW_OUTPUT": "0",
    # Losses appear only once learning begins; schedulers and searches here wait for them.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "PYTHONWARNINGS": "ignore",
    # No task events: only a dashboard shows them, and Ray's server would grow with them.
    "RAY_task_events_report_interval_ms": "0",
}
#: Ray's switch for systems on which it does not support clusters. If it is off, a node's address is
#: 127.0.0.1 whatever networks there are, and Ray's servers listen on that address only.
CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
#: The cluster to join.
ADDRESS = "RAY_ADDRESS"


def cluster_address() -> str | None:
    """The cluster that the user wants to train on; None for this machine alone."""
    address = os.environ.get(ADDRESS, "").strip()
    return None if address in ("", "local") else address


def prepare() -> None:
    """Sets what Ray reads when it is imported; once Ray is imported, it is too late."""
    silence()
    if cluster_address() is None and "ray" not in sys.modules:
        os.environ.setdefault(CLUSTERS, "0")


def silence() -> None:
    """Keeps Ray's own warnings and logs out of what a user reads."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore")
    for name in ("ray", "ray.tune", "ray.rllib", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
