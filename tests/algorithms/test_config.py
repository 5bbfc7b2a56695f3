import pytest

from rllib_qatten import ALGORITHMS, QattenConfig, QMIXConfig
from rllib_qatten.algorithms.recipes import RECIPES
from rllib_qatten.mixers import PRESETS


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
        ({"lr": -1}, "lr must be positive; got -1"),
        ({"lr": [[0, 1e-3], [9, 0]]}, "lr must be positive"),
        ({"grad_clip": -1}, "grad_clip must be positive"),
        ({"seed": "x"}, "seed must be a whole number, 0 or more; got 'x'"),
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
        ({"hypernet_layers": 3}, "hypernet_layers must be"),
        ({"attend_reg_coef": -1}, "attend_reg_coef must be"),
        ({"recipe": "pymarl3"}, "recipe: 'pymarl3'.*'pymarl'"),
        ({"mixer_preset": "papper"}, "'papper'.*'paper'"),
        ({"returns": "nstep"}, "'nstep'.*'n_step'"),
        ({"returns": "n_step", "td_lambda": 0.5}, "n_step does not use lambda.*is 0.5"),
        ({"n_step": 3}, "n_step is 3, but returns: td_lambda does not use it"),
        ({"standardize_rewards": 1}, "standardize_rewards must be true or false; got 1"),
    ],
)
def test_refuses(settings, says):
    with pytest.raises(ValueError, match=says):
        QattenConfig().environment("two_step_game").update_from_dict(settings).validate()


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("WQMIX", {"weighting": "owl"}, "weighting: 'owl'"),
        ("WQMIX", {"alpha": 0}, r"alpha must lie in \[1e-06, 1\]; got 0"),
        ("QTRAN", {"variant": "altt"}, "'altt'.*'alt'"),
        ("QTRAN", {"qtran_arch": "qtran"}, "qtran_arch"),
        ("QTRAN", {"variant": "alt", "network_size": "big"}, "variant alt has a critic of its own"),
        ("QTRAN", {"opt_loss": -1}, "opt_loss must lie in"),
        ("QPLEX", {"n_kernels": 0}, "n_kernels must be"),
    ],
)
def test_each_refuses(name, settings, says):
    config = ALGORITHMS[name].get_default_config().environment("two_step_game")
    with pytest.raises(ValueError, match=says):
        config.update_from_dict(settings).validate()


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


@pytest.mark.parametrize("name", PRESETS)
def test_presets_come_before_options_beside_them(name):
    for config in (
        QattenConfig().training(n_heads=2, mixer_preset=name),
        QattenConfig().update_from_dict({"n_heads": 2, "mixer_preset": name}),
    ):
        expected = {**PRESETS[name], "n_heads": 2}
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
