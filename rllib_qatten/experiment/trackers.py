"""W&B and MLflow through Ray's own callbacks, each enabled by one key of an experiment."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from ray._common.utils import get_function_args
from ray.tune import Callback

from rllib_qatten.errors import one_of


def wandb(options: dict[str, Any]) -> Callback:
    """Ray's W&B callback.

    Args:
        options: Its own, such as `project`, and those of `wandb.init`, such as `mode`.

    Raises:
        ValueError: If W&B is not installed, or has no such option.
    """
    _installed("wandb")
    import wandb
    from ray.air.integrations.wandb import WandbLoggerCallback

    _known(options, "wandb", WandbLoggerCallback, wandb.init)
    if "project" not in options and "WANDB_PROJECT" not in os.environ:
        raise ValueError("needs a project, as in {project: teams, mode: offline}.")
    if "mode" in options:
        # Ray asks for an API key unless the environment also says that none is needed.
        os.environ["WANDB_MODE"] = one_of(
            options["mode"], ("online", "offline", "disabled", "shared"), "wandb mode"
        )
    # W&B's own folder; Ray would leave offline runs in its temporary folder.
    return WandbLoggerCallback(**{"dir": os.getcwd(), **options})


def mlflow(options: dict[str, Any]) -> Callback:
    """Ray's MLflow callback.

    Args:
        options: Its own, such as `experiment_name` and `tracking_uri`.

    Raises:
        ValueError: If MLflow is not installed, has no such option, or cannot use the location.
    """
    _installed("mlflow")
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    _known(options, "mlflow", MLflowLoggerCallback)
    if "experiment_name" not in options:
        raise ValueError("needs an experiment_name, as in {experiment_name: teams}.")
    place = str(options.get("tracking_uri", "sqlite:"))
    if place.startswith("file:") or ":" not in place:
        try:
            # New releases refuse plain folders.
            MlflowClient(tracking_uri=options.get("tracking_uri")).search_experiments(max_results=1)
        except (MlflowException, ImportError) as error:
            raise ValueError(f"tracking_uri: {error}") from error
    return MLflowLoggerCallback(**options)


#: Key of an experiment -> the function that builds its callback.
TRACKERS = {"wandb": wandb, "mlflow": mlflow}


def _installed(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        raise ValueError(f"{name} is not installed: pip install 'rllib-qatten[{name}]'.")


def _known(options: dict[str, Any], name: str, *takers: Any) -> None:
    accepted = {arg for taker in takers for arg in get_function_args(taker)} - {"kwargs"}
    for key in options:
        one_of(key, accepted, f"option of {name}")
