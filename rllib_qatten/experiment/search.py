"""Tune's schedulers and search algorithms, named in YAML and built with Tune's own options."""

from __future__ import annotations

import functools
import inspect
import logging
import math
from typing import Any

from ray import tune
from ray._common.utils import get_function_args
from ray.tune.schedulers import SCHEDULER_IMPORT, PopulationBasedTraining, TrialScheduler
from ray.tune.search import SEARCH_ALG_IMPORT, Searcher
from ray.tune.search.sample import Categorical

from rllib_qatten.errors import one_of
from rllib_qatten.experiment.search_space import Path, bounds, sampled
from rllib_qatten.experiment.typed import check_kind, shown

#: Common names of schedulers -> Tune's names for them.
ALIASES = {
    "asha": "async_hyperband",
    "median_stopping": "median_stopping_rule",
    "population_based_training": "pbt",
}
#: What the experiment sets, not the options.
GIVEN = ("metric", "mode", "space", "max_concurrent", "custom_explore_fn")
MUTATIONS = "hyperparam_mutations"
#: Searchers for which this package has an extra.
EXTRAS = ("optuna",)


class _FreshScores(TrialScheduler):
    """Mixed into a scheduler: it never sees a result without a score.

    Iterations without an evaluation report NaN, and a loss appears only once learning begins. ASHA
    would consider such a trial judged and never stop it, and PBT would lose its score.
    """

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """See `TrialScheduler`."""
        if not has_score(result, self.metric):
            return TrialScheduler.CONTINUE
        return super().on_trial_result(controller, trial, result)


class _FreshSearch(Searcher):
    """Mixed into a searcher: like `_FreshScores`; a trial ends with its last score."""

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """See `Searcher`."""
        if has_score(result, self.metric):
            # Only numbers: Tune saves a searcher by plain pickle.
            numbers = {
                key: value for key, value in result.items() if isinstance(value, int | float)
            }
            self._last_scored = {**getattr(self, "_last_scored", {}), trial_id: numbers}
            super().on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """See `Searcher`."""
        last = getattr(self, "_last_scored", {}).pop(trial_id, None)
        if result and not has_score(result, self.metric):
            result = last
        super().on_trial_complete(trial_id, result, error)


def has_score(result: dict[str, Any], metric: str | list[str] | None) -> bool:
    """Whether a flat result holds a number for every metric."""
    keys = [metric] if isinstance(metric, str) else metric or []
    values = [result.get(key) for key in keys]
    return all(isinstance(v, int | float) and math.isfinite(v) for v in values)


def scheduler(asked: str | dict[str, Any]) -> TrialScheduler:
    """Builds a scheduler.

    Args:
        asked: `type`, one of Tune's names or `ALIASES`, and options of its class; or only the type.

    Raises:
        ValueError: For an unknown name or option, or one that the class refuses.
    """
    named = dict.fromkeys([*SCHEDULER_IMPORT, *ALIASES])
    kind, options = _type_and_options(asked, named, "scheduler")
    made = SCHEDULER_IMPORT[ALIASES.get(kind, kind)]
    cls = made() if inspect.isfunction(made) else made
    if MUTATIONS in options:
        given = options[MUTATIONS]
        if not isinstance(given, dict) or not given:
            raise ValueError(f"{MUTATIONS} must map settings to values; got {given!r}.")
        options = options | {MUTATIONS: _choices_as_lists(sampled(given, (MUTATIONS,)))}
        if issubclass(cls, PopulationBasedTraining):
            # Perturbing multiplies: gamma would leave [0, 1].
            options["custom_explore_fn"] = functools.partial(_keep_within, options[MUTATIONS])
    return _make(type(f"Fresh{cls.__name__}", (_FreshScores, cls), {}), cls, options)


def mutated(tree: Any, path: Path = ()) -> dict[Path, Any]:
    """The settings that `hyperparam_mutations` changes: path -> list or domain."""
    if not isinstance(tree, dict):
        return {}
    found: dict[Path, Any] = {}
    for key, value in tree.items():
        found |= mutated(value, (*path, key)) if isinstance(value, dict) else {(*path, key): value}
    return found


def searcher(asked: str | dict[str, Any], max_concurrent: int) -> Any:
    """Builds a search algorithm.

    Args:
        asked: `type`, one of Tune's names, and options of its class; or only the type.
        max_concurrent: Trials at a time; for Tune's own sampling, which has no other limit.

    Raises:
        ValueError: For an unknown name or option, one that the class refuses, or a missing package.
    """
    kind, options = _type_and_options(asked, SEARCH_ALG_IMPORT, "search_alg")
    cls = SEARCH_ALG_IMPORT[kind]()
    logging.getLogger(kind).setLevel(logging.WARNING)  # Optuna announces every study
    if not issubclass(cls, Searcher):
        return _make(cls, cls, options, max_concurrent=max_concurrent)
    fresh = type(f"Fresh{cls.__name__}", (_FreshSearch, cls), {})
    try:
        return _make(fresh, cls, options)
    except (ValueError, ImportError, RuntimeError) as error:
        # Tune's classes report a missing package in several ways.
        if kind in EXTRAS and "install" in str(error).lower():
            raise ValueError(
                f"{kind} is not installed: pip install 'rllib-qatten[{kind}]'."
            ) from error
        raise ValueError(str(error)) from error


def _type_and_options(
    asked: str | dict[str, Any], names: Any, what: str
) -> tuple[str, dict[str, Any]]:
    options = {"type": asked} if isinstance(asked, str) else asked
    if "type" not in options:
        raise ValueError(
            f"must have a type, as in {{type: {next(iter(names))}}}; got {shown(options)}."
        )
    one_of(options["type"], names, f"{what} type")
    return options["type"], {k: v for k, v in options.items() if k != "type"}


def _make(cls: type, named: type, options: dict[str, Any], **given: Any) -> Any:
    """Builds `cls` from the user's options; messages call it by the name of `named`."""
    arguments = inspect.signature(named).parameters
    accepted = [name for name in get_function_args(named) if name not in GIVEN]
    for key, value in options.items():
        if key in ("metric", "mode"):
            raise ValueError(f"{key} is set next to {named.__name__}, not in it.")
        if key not in ("custom_explore_fn", MUTATIONS):
            one_of(key, accepted, f"option of {named.__name__}")
            check_kind(key, value, getattr(arguments.get(key), "annotation", Any))
    try:
        return cls(**options, **given)
    except (AssertionError, TypeError, tune.TuneError) as error:
        raise ValueError(f"{named.__name__}: {error}") from error


def _choices_as_lists(tree: Any) -> Any:
    """PBT steps through lists, but would multiply a choice."""
    if isinstance(tree, dict):
        return {key: _choices_as_lists(value) for key, value in tree.items()}
    return list(tree.categories) if isinstance(tree, Categorical) else tree


def _keep_within(domains: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Brings a perturbed config back inside its bounds."""
    for key, domain in domains.items():
        if isinstance(domain, dict):
            config[key] = _keep_within(domain, config[key])
        elif hasattr(domain, "lower"):
            lower, upper = bounds(domain)
            config[key] = min(max(config[key], lower), upper)
    return config
