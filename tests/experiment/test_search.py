"""Sampled values, schedulers and searches of an experiment, and results without a score."""

import math
import pickle
from types import SimpleNamespace

import pytest
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from rllib_qatten.experiment import search
from rllib_qatten.experiment.search_space import examples, sampled, searched

SCORE = "evaluation/env_runners/episode_return_mean"


def result(iteration, score):
    return {"training_iteration": iteration, SCORE: score, "config": {"class": Trial}}


@pytest.mark.parametrize(
    ("written", "meant", "ends"),
    [
        ({"choice": [1, "a", [2]]}, tune.choice([1, "a", [2]]), [1, "a", [2]]),
        ({"uniform": [0.1, 0.9]}, tune.uniform(0.1, 0.9), [0.1, 0.9]),
        ({"loguniform": [1e-4, 1e-2]}, tune.loguniform(1e-4, 1e-2), [1e-4, 1e-2]),
        ({"quniform": [0, 1, 0.5]}, tune.quniform(0, 1, 0.5), [0, 1]),
        ({"randint": [1, 9]}, tune.randint(1, 9), [1, 8]),
        ({"qrandint": [8, 64, 8]}, tune.qrandint(8, 64, 8), [8, 64]),
        ({"lograndint": [1, 100]}, tune.lograndint(1, 100), [1, 99]),
        ({"randn": [3, 0.1]}, tune.randn(3, 0.1), [3]),
        ({"qrandn": [3, 1, 0.5]}, tune.qrandn(3, 1, 0.5), [3]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_domains_are_tunes_own(written, meant, ends):
    domain = sampled({"a": {"b": written}})["a"]["b"]
    assert type(domain) is type(meant)
    assert type(domain.get_sampler()) is type(meant.get_sampler())
    values, wanted = (d.sample(size=20, random_state=7) for d in (domain, meant))
    assert list(values) == list(wanted)
    assert examples(domain) == ends
    assert searched({"a": {"b": domain}}) == {("a", "b"): ends}


def test_settings_that_are_mappings_stay_what_they_are():
    settings = {"env_config": {"map_name": "3m"}, "model": {"choice": [1], "uniform": [2]}, "x": []}
    assert sampled(settings) == settings
    assert sampled({"lr": {"grid_search": [1, 2]}}) == {"lr": {"grid_search": [1, 2]}}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"uniform": [2, 1]}, "lr: uniform needs .lower, upper., and lower must be below upper"),
        ({"uniform": [1]}, "needs .lower, upper., all numbers; got .1."),
        ({"uniform": 3}, "got 3"),
        ({"uniform": {"grid_search": list(range(5000))}}, r"got .{,150}\.$"),
        ({"choice": {"k" * 5000: 1}}, r"got .{,150}\.$"),
        ({"uniform": ["a", "b"]}, "all numbers"),
        ({"randint": [0.5, 2]}, "all whole numbers"),
        ({"loguniform": [0, 1]}, "a logarithm needs lower above 0"),
        ({"quniform": [0, 1, 0]}, "the step must be above 0"),
        ({"randn": [0, -1]}, "the deviation must be above 0"),
        ({"choice": []}, "choice needs .value, value"),
        ({"grid_search": []}, "lr: grid_search has no values"),
        ({"grid_search": [2, 1, 2]}, "lr: grid_search has 2 more than once, and equal trials"),
        ({"grid_search": [{"a": [1]}, {"a": [1]}]}, "has {'a': .1.} more than once"),
        ({"eval": "__import__('os').getcwd()"}, "lr: eval would run code"),
    ],
)
def test_bad_bounds_are_named(written, message):
    with pytest.raises(ValueError, match=message):
        sampled({"lr": written})


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ("asha", "AsyncHyperBandScheduler"),
        ({"type": "asha", "max_t": 8}, "AsyncHyperBandScheduler"),
        ({"type": "median_stopping", "grace_period": 2}, "MedianStoppingRule"),
        ({"type": "hyperband"}, "HyperBandScheduler"),
        ({"type": "pbt", "hyperparam_mutations": {"lr": [1, 2]}}, "PopulationBasedTraining"),
    ],
)
def test_schedulers_are_tunes_own(options, name):
    assert name in [cls.__name__ for cls in type(search.scheduler(options)).__mro__]


def test_changed_values_stay_within_their_bounds():
    domains = {
        "gamma": tune.uniform(0.9, 1),
        "a": {"n_heads": tune.randint(1, 9), "hidden_size": tune.qrandint(8, 64, 8)},
        "drawn": tune.randn(0, 1),
    }
    changed = {"gamma": 1, "a": {"n_heads": 11, "hidden_size": 76}, "drawn": 3.5, "other": 1}
    assert search._keep_within(domains, changed) == {
        "gamma": 1, "a": {"n_heads": 8, "hidden_size": 64}, "drawn": 3.5, "other": 1
    }  # fmt: skip
    below = {"gamma": 0.5, "a": {"n_heads": 0, "hidden_size": 6}, "drawn": -3.5}
    assert search._keep_within(domains, below) == {
        "gamma": 0.9, "a": {"n_heads": 1, "hidden_size": 8}, "drawn": -3.5
    }  # fmt: skip


@pytest.mark.parametrize("every", [1, 3])
def test_asha_waits_for_a_score_and_then_stops_the_worse(every):
    scheduler = search.scheduler(
        {"type": "asha", "grace_period": 2, "max_t": 100, "reduction_factor": 2}
    )
    scheduler.set_search_properties(SCORE, "max")
    trials = [Trial("QMIX", stub=True) for _ in range(4)]
    stopped = {}
    for number, trial in enumerate(trials):
        scheduler.on_trial_add(None, trial)
        for iteration in range(1, 7):
            score = 10.0 - number if iteration % every == 0 else math.nan
            action = scheduler.on_trial_result(None, trial, result(iteration, score))
            if action == TrialScheduler.STOP:
                stopped[number] = iteration
                break
    first = math.ceil(2 / every) * every
    # Each is worse than all before it: only the first goes on.
    assert stopped == {1: first, 2: first, 3: first}


def test_median_stopping_ignores_missing_scores():
    scheduler = search.scheduler(
        {"type": "median_stopping", "grace_period": 0, "min_samples_required": 1}
    )
    scheduler.set_search_properties(SCORE, "max")
    controller = SimpleNamespace(get_live_trials=list)
    good, bad = Trial("QMIX", stub=True), Trial("QMIX", stub=True)
    for trial, score in ((good, 5.0), (bad, 1.0)):
        scheduler.on_trial_add(controller, trial)
        for seen in (math.nan, score):
            found = {**result(1, seen), "time_total_s": 1}
            action = scheduler.on_trial_result(controller, trial, found)
    assert action == TrialScheduler.STOP


def test_optuna_is_told_the_last_score_and_can_be_saved(tmp_path):
    pytest.importorskip("optuna", reason="the extra optuna is not installed")
    made = search.searcher({"type": "optuna", "seed": 1}, 0)
    made.set_search_properties(SCORE, "max", {"lr": tune.loguniform(1e-4, 1e-2)})
    made.suggest("a")
    for iteration, score in enumerate([math.nan, 3.0, 4.0, math.nan], start=1):
        made.on_trial_result("a", result(iteration, score))
    made.save(str(tmp_path / "search.pkl"))
    again = search.searcher({"type": "optuna"}, 0)
    again.restore(str(tmp_path / "search.pkl"))
    again.on_trial_complete("a", result(4, math.nan))
    [trial] = again._ot_study.trials
    assert trial.state.name == "COMPLETE"
    assert trial.value == 4.0
    assert trial.intermediate_values == {2: 3.0, 3: 4.0}


def test_a_perturbed_value_stays_within_its_bounds():
    mutations = {
        "gamma": {"uniform": [0.9, 0.99]},
        "steps": {"randint": [1, 9]},
        "inner": {"tau": {"uniform": [0.1, 0.5]}},
        "kind": {"choice": ["a", "b"]},
    }
    made = search.scheduler(
        {"type": "pbt", "hyperparam_mutations": mutations, "resample_probability": 0.0}
    )
    trial = Trial("QMIX", stub=True)
    trial.config = {"gamma": 0.98, "steps": 8, "inner": {"tau": 0.11}, "kind": "a", "lr": 1}
    seen = [made._get_new_config(trial, trial)[0] for _ in range(40)]
    assert {c["gamma"] for c in seen} == {0.9, 0.99}
    assert {c["steps"] for c in seen} == {6, 8}
    assert {c["inner"]["tau"] for c in seen} == {0.1, 0.11 * 1.2}
    assert {c["kind"] for c in seen} == {"a", "b"}
    assert {c["lr"] for c in seen} == {1}


def test_a_scheduler_can_be_sent_to_the_file_that_restores_it():
    import ray.cloudpickle

    made = search.scheduler({"type": "pbt", "hyperparam_mutations": {"lr": {"uniform": [1, 2]}}})
    again = pickle.loads(ray.cloudpickle.dumps(made))
    assert type(again).__name__ == type(made).__name__
