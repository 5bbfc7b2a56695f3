"""Callbacks that would never be called, or would fail when called, are refused before a game."""

import functools

import pytest
from ray.rllib.callbacks.callbacks import RLlibCallback

from rllib_qatten import QMIXConfig
from rllib_qatten.messages import say_once


def config(*classes, **functions):
    return QMIXConfig().environment("two_step_game").callbacks(list(classes), **functions)


def having(**hooks):
    return type("Mine", (RLlibCallback,), hooks)


def takes_all(self, **kwargs):
    pass


def takes_what_it_names(
    self,
    *,
    episode,
    prev_episode_chunks,
    env_runner,
    metrics_logger,
    env,
    env_index,
    rl_module=None,
):
    pass


def of_the_old_stack(self, *, worker, base_env, policies, episode, **kwargs):
    pass


def without_kwargs(*, episode):
    pass


@pytest.mark.parametrize(
    "given",
    [
        having(on_episode_end=takes_all),
        having(on_episode_end=takes_what_it_names),
        having(on_episode_end=staticmethod(lambda **kwargs: None)),
        having(on_sample_end=takes_all, on_train_result=takes_all, on_workers_recreated=takes_all),
        functools.partial(having(on_episode_start=takes_all)),
        lambda: RLlibCallback(),
    ],
)
def test_what_can_be_called(given):
    config(given).validate()


def test_several_and_functions():
    both = config(having(on_episode_end=takes_all), having(on_train_result=takes_all))
    both.callbacks(on_episode_step=[lambda **kw: None, functools.partial(takes_all, None)])
    both.validate()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (type("Plain", (), {}), r"subclasses of .*RLlibCallback.*got <class .*Plain"),
        (lambda **kwargs: None, r"functions by name, as in callbacks\(on_episode_end=my_function"),
        (having(on_learn_on_batch=takes_all), "on_learn_on_batch is never called.*learner_conn"),
        (having(on_postprocess_trajectory=takes_all), "never called here: on_sample_end"),
        (having(on_evaluate_offline_end=takes_all), "never called"),
        (
            having(on_episode_end=of_the_old_stack),
            "missing a required argument: 'worker'.*env_runner replaces worker",
        ),
        (having(on_episode_end=lambda self: None), "got an unexpected keyword.*and [*][*]kwargs"),
    ],
)
def test_what_cannot(given, says):
    with pytest.raises(ValueError, match=says):
        config(given).validate()


@pytest.mark.parametrize(
    ("functions", "says"),
    [
        ({"on_episode_end": without_kwargs}, r"callback on_episode_end\(\*, episode\) cannot be"),
        ({"on_train_result": [lambda: None]}, "RLlib passes algorithm, metrics_logger, result"),
        ({"on_episode_step": "mine"}, "on_episode_step must be a function.*got 'mine'"),
    ],
)
def test_functions_that_cannot(functions, says):
    with pytest.raises(ValueError, match=says):
        config(**functions).validate()


def test_a_misspelt_callback_is_named(capsys):
    say_once.cache_clear()
    misspelt = config(having(on_episode_finish=takes_all, on_episode_end=takes_all))
    misspelt.validate()
    misspelt.validate()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "never called: 'on_episode_finish'. Did you mean 'on_episode_end'" in said


def test_an_evaluation_has_callbacks_of_games_alone():
    of_games, of_algorithm = having(on_episode_end=takes_all), having(on_evaluate_end=takes_all)
    good = config(of_algorithm).evaluation(
        evaluation_config=QMIXConfig.overrides(callbacks_class=of_games)
    )
    good.validate()
    good.get_evaluation_config_object().validate()
    for own in (
        {"callbacks": of_algorithm},
        {"callbacks_class": [of_games, of_algorithm]},
        {"callbacks_on_evaluate_start": takes_all},
    ):
        with pytest.raises(ValueError, match=r"the algorithm only calls its own: config.callbacks"):
            config(of_games).evaluation(evaluation_config=own).validate()
    # A config's own, repeated for evaluation.
    config(of_algorithm).evaluation(evaluation_config={"callbacks": of_algorithm}).validate()
