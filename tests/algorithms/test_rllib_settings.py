"""Every setting of RLlib's is in one table, and does what the table says."""

import re
from pathlib import Path

import numpy as np
import pytest
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.connectors.env_to_module import MeanStdFilter
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModule, RLModuleSpec
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.policy.policy import PolicySpec
from ray.rllib.utils.metrics.stats import MeanStats

from rllib_qatten import ALGORITHMS, QattenConfig, QMIXConfig, columns
from rllib_qatten.algorithms.refusals import PLAYING
from rllib_qatten.algorithms.rllib_settings import CANNOT, NOT_USED, WORKS, public
from tests.algorithms.settings_page import PAGE, settings_table
from tests.algorithms.tiny import TINY, build

ROOT = Path(__file__).parents[2]
REFUSED = NOT_USED | CANNOT
#: A value that is no default, where a string would be no such setting at all.
OTHERS = {
    "policies": {"p0", "p1"},
    "policies_to_train": ["p0"],
    "add_default_connectors_to_env_to_module_pipeline": True,
    "count_steps_by": "agent_steps",
    "preprocessor_pref": "rllib",
}


def config(name="Qatten", **settings):
    return ALGORITHMS[name].get_default_config().environment("two_step_game")


def test_every_setting_of_this_ray_is_in_one_table():
    tables = [*WORKS, *NOT_USED, *CANNOT]
    assert len(tables) == len(set(tables)), "a setting is in two tables"
    assert set(tables) == set(vars(AlgorithmConfig())), "a setting of Ray's is in no table"


def test_the_page_shows_the_tables():
    assert settings_table() in PAGE.read_text(), "run python -m tests.algorithms.settings_page"


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_have_no_effect_is_refused_by_name(name):
    changed = config()
    setattr(changed, name, OTHERS.get(name, "other"))
    with pytest.raises(ValueError, match=rf"^{public(name)} (is not used|cannot work) here, but"):
        changed.validate()


def test_what_works_is_tried_somewhere():
    tests = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    own = {name for name, what in WORKS.items() if what == "RLlib's own"}
    assert [n for n in WORKS if n not in own and public(n) not in tests] == []


@pytest.mark.parametrize("name", ALGORITHMS)
def test_defaults_stand_for_evaluation_dicts_and_states_too(name):
    built = config(name)
    built.validate()
    for unit in ("episodes", "timesteps"):
        built.copy(copy_frozen=False).evaluation(
            evaluation_duration_unit=unit
        ).get_evaluation_config_object().validate()
    ALGORITHMS[name].get_default_config().update_from_dict(built.to_dict()).validate()
    type(built).from_state(built.get_state()).validate()
    # RLlib's own names for the one policy there is.
    built.multi_agent(policies={"default_policy"}, policies_to_train=["default_policy"]).validate()
    built.multi_agent(policies={"default_policy": PolicySpec()}).validate()
    built.multi_agent(policies={"default_policy": (None, None, None, {})}).validate()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.training(train_batch_size=64), "train_batch_size .* 64: set train_batch_"),
        (lambda c: c.training(train_batch_size_per_learner=7), "^train_batch_size_per_learner"),
        (lambda c: c.training(minibatch_size=3, num_epochs=5), "updates_per_episode"),
        (lambda c: c.training(model={"fcnet_hiddens": [8]}), "{'fcnet_hiddens': .8.}.*hidden_size"),
        (lambda c: c.env_runners(batch_mode="truncate_episodes"), "batch_mode.*whole games"),
        (lambda c: c.env_runners(observation_filter="MeanStdFilter"), "observation_filter.*wrap"),
        (
            lambda c: c.env_runners(exploration_config={"type": "EpsilonGreedy"}),
            "exploration_config.*set epsilon",
        ),
        (
            lambda c: c.env_runners(env_to_module_connector=lambda *a: MeanStdFilter()),
            "env_to_module_connector cannot work here.*TeamPolicy.*wrapper of the env",
        ),
        (lambda c: c.offline_data(output="somewhere"), "output cannot work here.*not recorded"),
        (lambda c: c.offline_data(input_="data.json"), "input_ cannot work here"),
        (lambda c: c.api_stack(enable_rl_module_and_learner=False), "enable_rl_module_and_learner"),
        (lambda c: c.framework("tf2"), "^framework cannot work here, but is 'tf2'"),
        (lambda c: c.resources(num_gpus=1), "num_gpus.*num_gpus_per_learner"),
        (
            lambda c: c.multi_agent(
                policies={"p0", "p1"}, policy_mapping_fn=lambda aid, *a, **k: "p0"
            ),
            "policies .*one policy.*parameter_sharing",
        ),
        (lambda c: c.multi_agent(policies={"shared": PolicySpec()}), "policies .*default_policy"),
        (
            lambda c: c.multi_agent(policies={"default_policy": PolicySpec(config={"lr": 1})}),
            "policies .*one policy",
        ),
        (lambda c: c.multi_agent(policy_mapping_fn=lambda *a, **k: "x"), "^policy_mapping_fn"),
        (lambda c: setattr(c, "horizon", 5), "config key of Qatten: 'horizon'.*env truncates"),
        (lambda c: setattr(c, "hiden_size", 5), "key of Qatten: 'hiden_size'.*'hidden_size'"),
        # Networks.
        (lambda c: c.rl_module(model_config={"hidden_size": 7}), r"training\(hidden_size=...\)"),
        (lambda c: c.rl_module(model_config={"mixer": {}}), r"training\(mixer"),
        (lambda c: c.rl_module(model_config={"fcnet_hiddens": [5]}), "'fcnet_hiddens'.*hidden_"),
        (
            lambda c: c.rl_module(model_config=DefaultModelConfig(use_lstm=True)),
            "model_config is not used here, but is a DefaultModelConfig",
        ),
        (
            lambda c: c.rl_module(rl_module_spec=RLModuleSpec(module_class=RLModule)),
            "subclasses QattenRLModule.*got RLModule",
        ),
        (
            lambda c: c.rl_module(rl_module_spec=RLModuleSpec(model_config={"hidden_size": 7})),
            r"training\(hidden_size=...\)",
        ),
        (
            lambda c: c.rl_module(
                rl_module_spec=MultiRLModuleSpec(rl_module_specs={"p0": RLModuleSpec()})
            ),
            "rl_module_spec must be an RLModuleSpec.*one policy",
        ),
        (lambda c: c.rl_module(rl_module_spec=RLModuleSpec(inference_only=True)), "inference_only"),
        # Classes.
        (lambda c: c.env_runners(env_runner_cls=SingleAgentEnvRunner), "TeamEnvRunner"),
        (lambda c: c.training(learner_class=object), "learner_class must be a subclass"),
        (
            lambda c: c.reporting(custom_stats_cls_lookup={"mean": MeanStats}),
            "custom_stats_cls_lookup lacks .*pooled_mean",
        ),
        # Evaluation.
        (lambda c: c.evaluation(evaluation_config={"lr": 1.0}), "evaluation only plays"),
        (lambda c: c.evaluation(evaluation_config={"hidden_size": 7}), "evaluation only plays"),
        (lambda c: c.evaluation(evaluation_config={"epsilon": 0.5}), "set explore: true with it"),
        (
            lambda c: c.evaluation(evaluation_config={"explore": True, "epsilon": 2}),
            r"evaluation_config.epsilon must be a number in \[0, 1\]",
        ),
        (
            lambda c: c.evaluation(evaluation_config={"num_env_runners": 2}),
            "evaluation_num_env_runners",
        ),
        (
            lambda c: c.evaluation(evaluation_config={"evaluation_duration": 2}),
            "evaluation_duration, which is set next to it",
        ),
        (
            lambda c: c.evaluation(evaluation_config={"epsilon_start": 2}),
            "evaluation_config of Qatten: 'epsilon_start'.*'epsilon'",
        ),
    ],
)  # fmt: skip
def test_refusals_name_the_way_to_get_it(change, says):
    def told():
        changed = config()
        change(changed)
        changed.validate()

    with pytest.raises(ValueError, match=says):
        told()


def test_dicts_are_refused_alike():
    for settings, says in (
        ({"train_batch_size": 64}, "train_batch_size_episodes"),
        ({"clip_rewards": True}, "standardize_rewards"),
        ({"output": "x"}, "not recorded"),
    ):
        with pytest.raises(ValueError, match=says):
            config().update_from_dict(settings).validate()
    evaluation = config().evaluation(evaluation_config={"clip_rewards": True})
    with pytest.raises(ValueError, match=r"^clip_rewards is not used here"):
        evaluation.get_evaluation_config_object().validate()
    given = QMIXConfig().environment("two_step_game").training(num_epochs=3)
    with pytest.raises(ValueError, match="num_epochs is not used here"):
        config("QMIX").evaluation(evaluation_config=given).get_evaluation_config_object().validate()


def test_what_evaluation_may_set_are_settings():
    assert set(PLAYING) <= vars(QattenConfig()).keys()
    own = {"env": "matrix_game", "env_config": {}, "explore": True, "epsilon": 0.1}
    config().evaluation(evaluation_config=own).validate()
    # All that training has: as when a whole config is given.
    config().evaluation(evaluation_config={"lr": QattenConfig().lr}).validate()


def test_an_own_config_may_have_own_settings():
    class Mine(QattenConfig):
        def __init__(self, algo_class=None):
            super().__init__(algo_class)
            self.my_setting = 1

    mine = Mine().environment("two_step_game")
    mine.my_setting = 2
    mine.validate()
    mine.train_batch_size = 64
    with pytest.raises(ValueError, match="train_batch_size is not used here"):
        mine.validate()


def test_rllib_does_not_advise_to_leave_the_stack_that_this_runs_on(caplog):
    class Unheard(ALGORITHMS["QMIX"]):
        pass

    for algorithm in (Unheard, ALGORITHMS["QMIX"]):
        algorithm.get_default_config().environment("two_step_game").copy().validate()
        QMIXConfig(algorithm).environment("two_step_game").validate()
    assert "new API stack" not in caplog.text


class Halved(ConnectorV2):
    """Pays half: a learner connector as RLlib's docs have them."""

    def __call__(self, *, rl_module, batch, episodes, **kwargs):
        seen = batch["default_policy"]
        assert len(seen[columns.MASK]) == sum(len(episode) for episode in episodes)
        seen["rewards"] = seen["rewards"] / 2
        return batch


@pytest.mark.usefixtures("ray_session")
def test_a_learner_connector_changes_the_packed_batch():
    learned = {}
    for name, own in (("theirs", None), ("halved", lambda *spaces: Halved())):
        algorithm = build("QMIX", gamma=0.0, target_update_episodes=1, _learner_connector=own)
        for _ in range(5):
            result = algorithm.train()
        learned[name] = result["learners"]["default_policy"]["target_mean"]
        algorithm.stop()
    assert 0 < learned["halved"] < 0.75 * learned["theirs"]


@pytest.mark.usefixtures("ray_session")
def test_learner_connectors_made_for_rllibs_episodes_are_refused_at_build():
    for own in (lambda *spaces: MeanStdFilter(), lambda *spaces: [Halved(), MeanStdFilter()]):
        with pytest.raises(
            ValueError, match="includes MeanStdFilter, made for RLlib's own episodes"
        ):
            config().update_from_dict(TINY).training(learner_connector=own).build_algo()


@pytest.mark.usefixtures("ray_session")
def test_the_pages_wrapper_scales_what_agents_see(tmp_path, monkeypatch):
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text().split("## Observations")[1], re.S)
    scope = {}
    exec(code, scope)
    algorithm = scope["config"].update_from_dict(TINY).build_algo()
    result = algorithm.train()
    assert result["num_updates_lifetime"] > 0
    [seen, *_] = algorithm.replay.episodes
    assert set(np.unique(seen.observations)) == {0.0, 0.5}  # the game shows 0 and 1
    algorithm.stop()
