import pytest

from rllib_qatten import ALGORITHMS, QattenConfig, QMIXConfig
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
        ({"optimizer_name": "adm"}, "'adm'.*'adam'"),
        ({"team_reward": "max"}, "team_reward: 'max'"),
        ({"n_heads": 0}, "n_heads must be"),
        ({"hypernet_layers": 3}, "hypernet_layers must be"),
        ({"attend_reg_coef": -1}, "attend_reg_coef must be"),
        ({"mixer_preset": "papper"}, "'papper'.*'paper'"),
    ],
)
def test_refuses(settings, says):
    with pytest.raises(ValueError, match=says):
        QattenConfig().environment("two_step_game").update_from_dict(settings).validate()


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


def test_settings_arrive():
    config = QMIXConfig().training(lr=0.1, td_lambda=0.5, hidden_size=7)
    assert (config.lr, config.td_lambda, config.hidden_size) == (0.1, 0.5, 7)
    with pytest.raises(TypeError):
        QMIXConfig().training(no_such_setting=1)
