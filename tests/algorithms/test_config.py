"""What settings may be, where they stand, and how recipes lie beneath them."""

import inspect
import math

import numpy as np
import pytest
from ray import cloudpickle, tune
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.tune.search.variant_generator import generate_variants

from rllib_qatten import ALGORITHMS, QattenConfig, QMIXConfig
from rllib_qatten.algorithms.recipes import RECIPES
from rllib_qatten.algorithms.searched import is_searched
from rllib_qatten.envs.small_games import TwoStepGame
from rllib_qatten.mixers import PRESETS, QPLEX_PRESETS


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"n_head": 4}, "'n_head'.*'n_heads'"),
        ({"learning_rate": 4}, "Unknown config key of Qatten"),
        ({"gamma": 1.5}, r"gamma must lie in \[0, 1\]; got 1.5"),
        ({"td_lambda": -0.1}, r"td_lambda must lie"),
        ({"tau": 0}, r"tau must lie"),
        ({"updates_per_episode": 0}, "updates_per_episode must lie"),
        ({"updates_per_episode": "many"}, "updates_per_episode must lie.*'many'"),
        ({"train_batch_size_episodes": 0}, "train_batch_size_episodes must be a whole number, 1"),
        ({"train_batch_size_episodes": 64, "replay_capacity_episodes": 32}, "64 or more; got 32"),
        ({"epsilon": 2}, r"epsilon must be a number in \[0, 1\].*got 2"),
        ({"epsilon": [[5, 1.0]]}, "epsilon must be"),
        ({"num_learners": -1}, "num_learners must be a whole number, 0 or more; got -1"),
        ({"num_learners": 9, "train_batch_size_episodes": 8}, "num_learners is 9.*has 8 episodes"),
        ({"num_learners": 2, "mixer_preset": "paper"}, "reg_over_padding.*num_learners: 2"),
        ({"lr": -1}, "lr must be a positive number, or a schedule.*; got -1"),
        ({"lr": [[0, 1e-3], [9, 0]]}, "lr must be a positive number"),
        ({"lr": [[5, 1e-3], [9, 1e-4]]}, "lr must be a positive number"),
        ({"lr": [[0, 1e-3]]}, "two or more"),
        ({"lr": math.inf}, "lr must be a positive number"),
        ({"lr": "1e-3"}, "lr must be a positive number.*got '1e-3'"),
        ({"max_episode_steps": 0}, "max_episode_steps must be a whole number, 1 or more, or None"),
        ({"evaluation_duration_unit": "games"}, "evaluation_duration_unit: 'games'.*timesteps"),
        ({"grad_clip_by": "nrm"}, "grad_clip_by: 'nrm'.*'norm'"),
        ({"placement_strategy": "PAKC"}, "placement_strategy: 'PAKC'.*'PACK'"),
        ({"log_level": "LOUD"}, "log_level: 'LOUD'.*DEBUG"),
        ({"env_config": None}, "env_config must be a dict of the env's settings.*got None"),
        ({"custom_evaluation_function": "mine"}, "custom_evaluation_function must be a function"),
        ({"custom_evaluation_function": lambda: 1}, "custom_evaluation_function must be .* of the"),
        ({"grad_clip": -1}, "grad_clip must be positive"),
        ({"seed": "x"}, "seed must be a whole number, 0 or more, or None; got 'x'"),
        ({"num_env_runners": -1}, "num_env_runners must be"),
        ({"evaluation_interval": -1}, "evaluation_interval must be"),
        ({"optimizer_name": "adm"}, "'adm'.*'adam'"),
        ({"sampling": "overlap"}, "sampling: 'overlap'.*'overlapped'"),
        ({"sampling": "overlapped"}, "num_env_runners is 0: set it to 1 or more"),
        ({"replay": "priority"}, "replay: 'priority'|'prioritized'"),
        ({"priority_exponent": 0}, "priority_exponent must be above 0; got 0.*replay: uniform"),
        ({"importance_exponent": [[0, 2]]}, "importance_exponent must be a number in"),
        ({"team_reward": "max"}, "team_reward: 'max'"),
        ({"agent": "gru"}, "Unknown agent: 'gru'.*feed_forward, recurrent"),
        ({"parameter_sharing": "unit_types"}, "parameter_sharing: 'unit_types'.*'unit_type'"),
        ({"layer_norm": "yes"}, "layer_norm must be true or false; got 'yes'"),
        ({"orthogonal_init": 1}, "orthogonal_init must be true or false; got 1"),
        ({"n_heads": 0}, "n_heads must be"),
        ({"n_heads": "4"}, "n_heads must be a whole number; got '4'"),
        ({"n_heads": True}, "n_heads must be a whole number; got True"),
        ({"attend_reg_coef": True}, "attend_reg_coef must be a number; got True"),
        ({"mask_dead": "no"}, "mask_dead must be true or false; got 'no'"),
        ({"mixer_preset": 3}, "mixer_preset must be a name; got 3|mixer_preset: 3"),
        ({"hidden_size": True}, "hidden_size must be a whole number, 1 or more; got True"),
        ({"lr": True}, "lr must be a positive number.*got True"),
        ({"gamma": True}, "gamma must lie"),
        ({"standardise_rewards": True}, "'standardise_rewards'.*'standardize_rewards'"),
        ({"hypernet_layers": 3}, "hypernet_layers must be"),
        ({"attend_reg_coef": -1}, "attend_reg_coef must be"),
        ({"recipe": "pymarl3"}, "recipe: 'pymarl3'.*'pymarl'"),
        ({"mixer_preset": "papper"}, "'papper'.*'paper'"),
        ({"returns": "nstep"}, "'nstep'.*'n_step'"),
        ({"returns": "n_step", "td_lambda": 0.5}, "n_step does not use lambda.*is 0.5"),
        ({"n_step": 3}, "n_step is 3, but returns: td_lambda does not use it"),
        ({"tau": 0.1, "target_update_episodes": 50}, "tau is 0.1.*target_update_episodes: 50 is"),
        ({"explore": False, "epsilon": 0.3}, "epsilon is 0.3, but with explore: false"),
        ({"sample_timeout_s": 0}, "sample_timeout_s must be a number above 0, or None; got 0"),
        ({"priority_exponent": 0.9}, "priority_exponent is 0.9, but replay: uniform does not"),
        ({"importance_exponent": 1.0}, "importance_exponent is 1.0, but replay: uniform does"),
        ({"standardize_rewards": 1}, "standardize_rewards must be true or false; got 1"),
    ],
)
def test_refuses(settings, says):
    with pytest.raises(ValueError, match=says):
        QattenConfig().environment("two_step_game").update_from_dict(settings).validate()


def test_without_exploration_a_recipes_epsilon_is_no_fault():
    config = QattenConfig().environment("two_step_game").env_runners(explore=False)
    config.training(recipe="smax_recurrent").validate()
    # Evaluation, which does not explore, takes over what was set for training.
    config = QattenConfig().environment("two_step_game").training(epsilon=0.3)
    config.validate()
    config.get_evaluation_config_object().validate()


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("WQMIX", {"weighting": "owl"}, "weighting: 'owl'"),
        ("WQMIX", {"alpha": 0}, r"alpha must lie in \[1e-06, 1\]; got 0"),
        ("QTRAN", {"variant": "altt"}, "'altt'.*'alt'"),
        ("QTRAN", {"qtran_arch": "qtran"}, "qtran_arch"),
        ("QTRAN", {"variant": "alt", "network_size": "big"}, "variant alt has its own critic"),
        ("QTRAN", {"opt_loss": -1}, "opt_loss must lie in"),
        ("QPLEX", {"n_kernels": 0}, "n_kernels must be"),
        ("QPLEX", {"n_heads": 2}, "n_heads: 2 is an option of transformation: attention"),
        ("QPLEX", {"transformation": "qatten"}, "transformation: 'qatten'.*attention"),
    ],
)
def test_each_refuses(name, settings, says):
    config = ALGORITHMS[name].get_default_config().environment("two_step_game")
    with pytest.raises(ValueError, match=says):
        config.update_from_dict(settings).validate()


def options(name):
    return ALGORITHMS[name].config_class.options


@pytest.mark.parametrize("name", ALGORITHMS)
def test_settings_of_others_are_refused_with_the_reason(name):
    """Every option of every other algorithm, by every way to set one."""
    foreign = {key: other for other in ALGORITHMS for key in options(other)}
    for key in foreign.keys() - options(name).keys():
        default = options(foreign[key])[key].default
        says = f"{name} has no use for {key}.*setting of .*{foreign[key]}"
        config = ALGORITHMS[name].get_default_config()
        for way in (
            lambda: config.training(**{key: default}),  # noqa: B023 - called at once
            lambda: config.update_from_dict({key: default}),  # noqa: B023 - called at once
            lambda: setattr(config, key, default),  # noqa: B023 - called at once
        ):
            with pytest.raises(ValueError, match=says):
                way()
        assert key not in vars(config)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_option_stands_in_its_mixers_or_its_losss_signature(name):
    config = ALGORITHMS[name].get_default_config()
    method = type(config).training
    for option in options(name).values():
        assert getattr(config, option.name) == option.default
        assert option.meaning, option.name
        assert option.name in inspect.signature(method).parameters
        assert f"    {option.name}: {option.meaning[0].upper()}" in method.__doc__
    kwargs = {option.name: option.default for option in options(name).values()}
    assert config.training(**kwargs) is config


def test_an_algorithms_own_defaults_stand_where_they_are_read():
    assert [options(name)["mixing_embed_dim"].default for name in ("QTRAN", "QMIX")] == [64, 32]
    assert not options("VDN") | options("IndependentQ")
    assert set(options("QTRAN")) == {
        "variant", "qtran_arch", "network_size", "mixing_embed_dim", "opt_loss", "nopt_min_loss",
    }  # fmt: skip


def test_a_setting_of_another_method_names_it():
    with pytest.raises(ValueError, match=r"set it with config.env_runners\(num_env_runners=...\)"):
        QMIXConfig().training(num_env_runners=2)


@pytest.mark.usefixtures("ray_session")
def test_q_in_key_says_what_it_gives_up(capfd):
    for q_in_key in (True, False):
        config = QattenConfig().environment("two_step_game").training(q_in_key=q_in_key)
        config.build_algo().stop()
        assert ("IGM is not guaranteed" in capfd.readouterr().err) == q_in_key


@pytest.mark.parametrize("name", ALGORITHMS)
def test_defaults_are_valid_and_pymarls(name):
    config = ALGORITHMS[name].get_default_config().environment("two_step_game")
    config.validate()
    assert (config.lr, config.optimizer_name, config.grad_clip) == (5e-4, "rmsprop", 10)
    assert (config.train_batch_size_episodes, config.target_update_episodes) == (32, 200)
    assert config.epsilon == [[0, 1.0], [50_000, 0.05]]
    assert (config.td_lambda, config.double_q) == (0.0, True)


@pytest.mark.parametrize(
    ("name", "preset"), [("Qatten", p) for p in PRESETS] + [("QPLEX", p) for p in QPLEX_PRESETS]
)
def test_presets_come_before_options_beside_them(name, preset):
    beside = {"hypernet_embed": 17}
    for config in (
        ALGORITHMS[name].get_default_config().training(**beside, mixer_preset=preset),
        ALGORITHMS[name].get_default_config().update_from_dict(beside | {"mixer_preset": preset}),
    ):
        expected = type(config).named_sets["mixer_preset"][preset] | beside
        assert {k: getattr(config, k) for k in expected} == expected
        assert config._model_config_auto_includes["mixer"] == expected


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_recipes_come_before_settings_beside_them(name, recipe):
    config = ALGORITHMS[name].get_default_config()
    expected = {k: v for k, v in RECIPES[recipe].items() if hasattr(config, k)}
    expected["td_lambda"] = 0.123
    for config in (
        ALGORITHMS[name].get_default_config().training(td_lambda=0.123, recipe=recipe),
        ALGORITHMS[name]
        .get_default_config()
        .update_from_dict({"td_lambda": 0.123, "recipe": recipe}),
    ):
        assert {k: getattr(config, k) for k in expected} == expected
        assert config.recipe == recipe
        config.environment("two_step_game").validate()


def test_padding_only_where_it_counts():
    assert not QMIXConfig().counts_padding
    assert not QattenConfig().counts_padding
    assert QattenConfig().training(mixer_preset="paper").counts_padding
    assert not QattenConfig().training(mixer_preset="paper_3s5z_vs_3s6z").counts_padding


def test_settings_arrive():
    config = QMIXConfig().training(lr=0.1, td_lambda=0.5, hidden_size=7)
    assert (config.lr, config.td_lambda, config.hidden_size) == (0.1, 0.5, 7)
    with pytest.raises(TypeError):
        QMIXConfig().training(no_such_setting=1)


SMAX, PYMARL = RECIPES["smax"], RECIPES["pymarl"]
BOTH = tune.grid_search(["pymarl", "smax"])


def trials(space):
    """The configs that Tune's trials make of a param_space."""
    space = space.to_dict() if hasattr(space, "to_dict") else space
    pickled = cloudpickle.loads(cloudpickle.dumps([v for _, v in generate_variants(space)]))
    made = [QattenConfig().update_from_dict(variant) for variant in pickled]
    for config in made:
        config.environment("two_step_game").validate()
    return made


def has(config, expected):
    return all(getattr(config, key) == value for key, value in expected.items())


def test_a_searched_recipe_lies_beneath_what_was_set():
    # The lr set is the default recipe's own: it counts all the same.
    for config in (
        QattenConfig().training(lr=5e-4, recipe=BOTH),
        QattenConfig().training(recipe=BOTH).training(lr=5e-4),
        QattenConfig().training(lr=5e-4).to_dict() | {"recipe": BOTH},
    ):
        pymarl, smax = trials(config)
        assert has(pymarl, PYMARL | {"num_envs_per_env_runner": 8})
        assert has(smax, SMAX | {"lr": 5e-4})


def test_a_whole_configs_dict_with_another_recipe_means_that_recipe():
    for start in (QattenConfig(), QattenConfig().training(recipe="pymarl2")):
        assert has(QattenConfig().update_from_dict(start.to_dict() | {"recipe": "smax"}), SMAX)
    changed = QattenConfig().to_dict() | {"recipe": "smax", "td_lambda": 0.25}
    assert has(QattenConfig().update_from_dict(changed), SMAX | {"td_lambda": 0.25})


def test_recipes_replace_each_other_whole():
    config = QMIXConfig().training(recipe="pymarl2_3s5z_vs_3s6z").training(recipe="smax")
    assert has(config, SMAX | {"hidden_size": 64, "mixing_embed_dim": 32})
    config.training(recipe="pymarl")
    assert vars(config) | {"_set": (), "_named_sets": {}} == vars(QMIXConfig()) | {
        "_set": (), "_named_sets": {}
    }  # fmt: skip


@pytest.mark.parametrize("name", ["VDN", "QTRAN", "IndependentQ"])
def test_a_recipe_leaves_out_what_an_algorithm_does_not_have(name):
    config = ALGORITHMS[name].get_default_config().training(recipe="pymarl2_3s5z_vs_3s6z")
    assert "hypernet_embed" not in vars(config)
    assert config.hidden_size == 256
    config.environment("two_step_game").validate()


def test_presets_heads_schedules_and_games_are_searched():
    [paper, pymarl2] = trials(
        QattenConfig().training(mixer_preset=tune.grid_search(["paper", "pymarl2"]), n_heads=2)
    )
    assert has(paper, PRESETS["paper"] | {"n_heads": 2})
    assert has(pymarl2, PRESETS["pymarl2"] | {"n_heads": 2})
    schedules = [[[0, 1e-3], [9, 1e-4]], 0.01]
    found = trials(QattenConfig().training(lr=tune.grid_search(schedules)))
    assert [config.lr for config in found] == schedules
    config = QattenConfig().env_runners(num_envs_per_env_runner=tune.grid_search([1, 2]))
    config.environment("two_step_game", env_config={"a": tune.grid_search([3, 4])})
    found = {(c.num_envs_per_env_runner, c.env_config["a"]) for c in trials(config)}
    assert found == {(1, 3), (1, 4), (2, 3), (2, 4)}


def test_a_config_takes_no_attribute_that_is_no_setting():
    with pytest.raises(ValueError, match=r"'n_head'.*'n_heads'"):
        QattenConfig().n_head = 3
    config = QattenConfig()
    config["lr"] = 0.2
    assert config.training(recipe="smax").lr == 0.2


def make_env(config):
    return TwoStepGame(config)


@pytest.mark.parametrize(
    ("env", "says"),
    [
        (make_env, r"register_env\('my_env', make_env\), and give the name"),
        (lambda config: TwoStepGame(config), r"register_env\('my_env', lambda\)"),
        (TwoStepGame({}), "this is one, .*: give its class, TwoStepGame"),
        (3, "a class, a registered name or a path.*; got 3"),
    ],
)
def test_an_env_is_a_class_or_a_name(env, says):
    with pytest.raises(ValueError, match=f"(?s)env must be .*{says}"):
        QMIXConfig().environment(env).build_algo()


def test_without_an_env_nothing_is_built():
    QMIXConfig().validate()
    with pytest.raises(ValueError, match=r"env must be a class.* there is none"):
        QMIXConfig().build_algo()


def test_numpys_numbers_become_pythons():
    """As they come from a search over an array."""
    config = QMIXConfig().environment("two_step_game")
    config.training(n_step=np.int64(3), returns="n_step", lr=np.float32(0.5))
    config["double_q"] = np.bool_(False)
    config.update_from_dict({"hidden_size": np.arange(9)[8]}).validate()
    values = config.n_step, config.lr, config.double_q, config.hidden_size
    assert values == (3, 0.5, False, 8)
    assert list(map(type, values)) == [int, float, bool, int]


def one(values):
    return tune.choice(list(values))


@pytest.mark.parametrize(
    "space", [one, tune.grid_search, lambda values: tune.sample_from(lambda s: 0)]
)
def test_any_argument_may_be_searched(space):
    """By methods of RLlib's, too, that look into their arguments."""
    config = (
        QattenConfig()
        .environment(TwoStepGame, env_config=space([{"a": 1}, {"a": 2}]))
        .env_runners(num_envs_per_env_runner=space([1, 2]))
        .training(grad_clip_by=space(["norm", "value"]), lr=space([1e-3]))
        .learners(learner_config_dict=space([{"x": 1}]))
        .callbacks(space([RLlibCallback]), on_episode_end=space([print]))
        .evaluation(evaluation_config=space([{"explore": False}]), evaluation_duration=space([2]))
    )
    searched = (
        *("env_config", "num_envs_per_env_runner", "grad_clip_by", "lr", "learner_config_dict"),
        *("callbacks_class", "callbacks_on_episode_end", "evaluation_config"),
        "evaluation_duration",
    )
    assert all(is_searched(getattr(config, name)) for name in searched)
    if space is not one:
        return
    ((_, trial),) = generate_variants(config.to_dict())
    found = QattenConfig().update_from_dict(trial)
    assert found.env_config["a"] in (1, 2)
    assert found.evaluation_config == {"explore": False}
    assert found.callbacks_class is RLlibCallback
    assert found.callbacks_on_episode_end is print
