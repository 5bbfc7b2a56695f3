"""The settings that every algorithm of the family shares."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics.metrics_logger import DEFAULT_STATS_CLS_LOOKUP
from ray.util.debug import log_once

from rllib_qatten.algorithms.old_names import known_setting
from rllib_qatten.algorithms.recipes import RECIPES
from rllib_qatten.algorithms.refusals import (
    check_learner_connectors,
    check_rllib_settings,
    refuse_unknown,
)
from rllib_qatten.algorithms.validation import check_settings
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.errors import one_of
from rllib_qatten.rollout.env_runner import TeamEnvRunner
from rllib_qatten.rollout.pooled_mean import PooledMean
from rllib_qatten.rollout.prioritized_replay import PrioritizedReplay
from rllib_qatten.rollout.replay import EpisodeReplay
from rllib_qatten.training.batch import PackEpisodes
from rllib_qatten.training.learner import ValueDecompositionTorchLearner
from rllib_qatten.training.rl_module import ValueDecompositionRLModule


class ValueDecompositionConfig(AlgorithmConfig):
    """Settings of QMIX (Rashid et al. 2018); the defaults are PyMARL's recipe for SMAC."""

    #: The policy's class.
    rl_module_class: ClassVar[type[ValueDecompositionRLModule]] = ValueDecompositionRLModule
    #: The mixer's options that are settings of this config.
    mixer_options: ClassVar[tuple[str, ...]] = (
        "mixing_embed_dim",
        "hypernet_layers",
        "hypernet_embed",
    )

    def __init__(self, algo_class: type[Algorithm] | None = None) -> None:
        """Sets the defaults."""
        super().__init__(algo_class=algo_class)
        # RLlib's own settings.
        self.gamma = 0.99
        self.grad_clip = 10.0
        self.grad_clip_by = "global_norm"
        self.env_runner_cls = TeamEnvRunner
        self.num_env_runners = 0
        self.num_envs_per_env_runner = 8
        self.batch_mode = "complete_episodes"
        # Exactly the iteration's games; a number is a window over so many of an env runner's last.
        self.metrics_num_episodes_for_smoothing: int | None = None
        # Whole games, and games that must be launched anew: what comes late, RLlib throws away.
        self.sample_timeout_s = self.evaluation_sample_timeout_s = 600.0
        # Every round waits as long for lost env runners; one that is back answers at once.
        self.env_runner_health_probe_timeout_s = 0.2
        self.min_sample_timesteps_per_iteration = 10_000
        self.evaluation_interval = 1
        self.evaluation_duration = 32
        self.evaluation_duration_unit = "episodes"
        self.evaluation_config = {"explore": False}
        self.max_episode_steps = None
        # Learning has one connector of our own, acting none.
        self.add_default_connectors_to_env_to_module_pipeline = False
        self.add_default_connectors_to_module_to_env_pipeline = False
        self.add_default_connectors_to_learner_pipeline = False
        self.stats_cls_lookup = {**DEFAULT_STATS_CLS_LOOKUP, "pooled_mean": PooledMean}
        # Learning; what recipes set comes from the default one.
        self.recipe = "pymarl"
        self._apply(RECIPES, self.recipe, "recipe")
        self.returns = "td_lambda"
        self.n_step = 1
        self.standardize_rewards = False
        self.double_q = True
        self.tau = 1.0
        self.team_reward = "equal"
        self.sampling = "lockstep"
        self.replay = "uniform"
        self.priority_exponent = 0.6
        self.importance_exponent = 0.4
        self.checkpoint_replay_buffer = True
        # Networks.
        self.agent = "recurrent"
        self.parameter_sharing = "all"
        self.precision = "float32"
        self.hidden_size = 64
        self.layer_norm = False
        self.orthogonal_init = False
        self.mixing_embed_dim = 32
        self.hypernet_layers = 2
        self.hypernet_embed = 64

    @override(AlgorithmConfig)
    def environment(
        self,
        env: Any = NotProvided,
        *,
        max_episode_steps: int | None = NotProvided,
        **kwargs: Any,
    ) -> Self:
        """Sets what is played.

        Args:
            env: See base class.
            max_episode_steps: Steps after which a game is truncated (gymnasium's name), for a
                Python environment without an end of its own; its value then goes on. None lets
                games end by themselves.
            **kwargs: RLlib's own.

        Returns:
            This config.
        """
        super().environment(env, **kwargs)
        return self._take({"max_episode_steps": max_episode_steps})

    @override(AlgorithmConfig)
    def training(
        self,
        *,
        recipe: str | None = NotProvided,
        optimizer_name: str | None = NotProvided,
        double_q: bool | None = NotProvided,
        returns: str | None = NotProvided,
        td_lambda: float | None = NotProvided,
        n_step: int | None = NotProvided,
        standardize_rewards: bool | None = NotProvided,
        tau: float | None = NotProvided,
        target_update_episodes: int | None = NotProvided,
        updates_per_episode: float | None = NotProvided,
        train_batch_size_episodes: int | None = NotProvided,
        replay_capacity_episodes: int | None = NotProvided,
        sampling: str | None = NotProvided,
        epsilon: float | list | None = NotProvided,
        team_reward: str | None = NotProvided,
        agent: str | None = NotProvided,
        parameter_sharing: str | None = NotProvided,
        precision: str | None = NotProvided,
        replay: str | None = NotProvided,
        priority_exponent: float | None = NotProvided,
        importance_exponent: float | list | None = NotProvided,
        checkpoint_replay_buffer: bool | None = NotProvided,
        hidden_size: int | None = NotProvided,
        layer_norm: bool | None = NotProvided,
        orthogonal_init: bool | None = NotProvided,
        mixing_embed_dim: int | None = NotProvided,
        hypernet_layers: int | None = NotProvided,
        hypernet_embed: int | None = NotProvided,
        **kwargs: Any,
    ) -> ValueDecompositionConfig:
        """Sets what concerns learning.

        Args:
            recipe: A named set of settings, see `RECIPES`. It replaces all of them, the number of
                games among them, whatever was set before; settings given along with it or after
                it come on top.
            optimizer_name: "rmsprop" with PyMARL's constants, or "adam".
            double_q: The live network chooses the next action, the target network values it.
            returns: What targets are made of: "td_lambda", "q_lambda" (TD(lambda) corrected for
                exploring actions) or "n_step".
            td_lambda: Lambda of the first two; 0 is one-step.
            n_step: Steps of the last.
            standardize_rewards: Learn from rewards of mean 0 and standard deviation 1, by the
                running statistics of all batches.
            tau: Below 1, targets follow softly at every update by this share.
            target_update_episodes: With tau 1, targets are copied after so many episodes.
            updates_per_episode: Gradient updates per game played, whatever the number of runners
                and games; fractions add up.
            train_batch_size_episodes: Episodes in one update.
            replay_capacity_episodes: Episodes kept for replay.
            sampling: "lockstep": games are played, then learned from; or "overlapped": env runners
                play a round of games while the updates that the rounds before it earned are done,
                with weights that are older by these updates.
            epsilon: Exploration: a number, or a schedule [[0, 1.0], [50000, 0.05]] over env steps.
            team_reward: "equal" if all agents get the team's reward, else "sum" or "mean".
            agent: The agent network: "recurrent" (a GRU) or "feed_forward" (no memory).
            parameter_sharing: Which agents share a network: "all", those of a "unit_type" (which
                the env must declare), or "none".
            precision: What the agent network multiplies in while learning: "float32", or
                "bfloat16", which is faster where the processor has it and not the same to the bit.
            replay: "uniform", or "prioritized": episodes with a large mean |TD error| are drawn
                more often.
            priority_exponent: Alpha of prioritized replay, above 0: how much more often.
            importance_exponent: Beta of prioritized replay, how much of that the loss takes back: a
                number, or a schedule [[0, 0.4], [1000000, 1.0]] over env steps.
            checkpoint_replay_buffer: Whether checkpoints hold the replay's episodes, so that a run
                goes on as if it had never stopped; of a run's checkpoints the newest alone does.
            hidden_size: Width of the agent network.
            layer_norm: Normalizes the agent network's hidden layers before their ReLU.
            orthogonal_init: Starts the agent network with orthogonal weights.
            mixing_embed_dim: Width of the mixing network.
            hypernet_layers: 1 or 2 layers per hypernetwork.
            hypernet_embed: Width of a 2-layer hypernetwork.
            **kwargs: RLlib's own, such as lr, gamma and grad_clip.

        Returns:
            This config.
        """
        given = {k: v for k, v in locals().items() if k not in ("self", "kwargs", "__class__")}
        self._apply(RECIPES, recipe, "recipe")
        refuse_unknown(self, kwargs)
        super().training(**kwargs)
        return self._take(given)

    @override(AlgorithmConfig)
    def update_from_dict(self, config_dict: dict[str, Any]) -> ValueDecompositionConfig:
        """Takes settings from a dict; a recipe in it comes before the settings beside it.

        Raises:
            ValueError: For a key that is no setting, with the nearest one.
        """
        for key in config_dict:
            if not key.startswith("_"):
                known = [*self.keys(), "__trial_info__"]
                known_setting(key, known, f"config key of {self.name}")
        self._apply(RECIPES, config_dict.get("recipe"), "recipe")
        return super().update_from_dict(config_dict)

    def _apply(self, presets: dict[str, dict[str, Any]], name: str | None, key: str) -> None:
        """Takes over a named set of settings, if one is named."""
        if name is not None and name is not NotProvided:
            for setting, value in presets[one_of(name, presets, key)].items():
                setattr(self, setting, value)

    def _take(self, given: dict[str, Any]) -> Self:
        """Sets what was given."""
        for name, value in given.items():
            if value is not NotProvided:
                setattr(self, name, value)
        return self

    @property
    def name(self) -> str:
        """The trainable's name."""
        return self.algo_class.__name__

    @override(AlgorithmConfig)
    def validate(self) -> None:
        """Checks every range, naming key, value and what is accepted."""
        check_rllib_settings(self)
        # Spares users RLlib's advice to leave the new API stack, on which alone this runs.
        log_once(f"{self.name}_on_new_api_stack")
        super().validate()
        check_settings(self)
        # A mixer of the smallest size checks its own options.
        self.rl_module_class.make_mixer(
            TeamSpec(("agent",), 1, 1, 1), self._model_config_auto_includes
        )

    @override(AlgorithmConfig)
    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """The algorithm's policy."""
        return RLModuleSpec(module_class=self.rl_module_class)

    @override(AlgorithmConfig)
    def get_default_learner_class(self) -> type[ValueDecompositionTorchLearner]:
        """The Learner of the whole family."""
        return ValueDecompositionTorchLearner

    @property
    @override(AlgorithmConfig)
    def _model_config_auto_includes(self) -> dict[str, Any]:
        return super()._model_config_auto_includes | {
            "hidden_size": self.hidden_size,
            "precision": self.precision,
            "double_q": self.double_q,
            "returns": self.returns,
            "standardize_rewards": self.standardize_rewards,
            "agent": {
                "kind": self.agent,
                "sharing": self.parameter_sharing,
                "layer_norm": self.layer_norm,
                "orthogonal_init": self.orthogonal_init,
            },
            "mixer": {name: getattr(self, name) for name in self.mixer_options},
        }

    def build_replay(self) -> EpisodeReplay:
        """The replay of these settings, empty."""
        if self.replay == "uniform":
            return EpisodeReplay(self.replay_capacity_episodes, self.seed)
        return PrioritizedReplay(
            self.replay_capacity_episodes,
            self.seed,
            priority_exponent=self.priority_exponent,
            importance_exponent=self.importance_exponent,
        )

    @override(AlgorithmConfig)
    def build_learner_connector(self, *args: Any, **kwargs: Any) -> ConnectorV2:
        """Episodes become a batch in one step of our own; a user's own steps come after it."""
        pipeline = super().build_learner_connector(*args, **kwargs)
        check_learner_connectors(pipeline.connectors)
        pipeline.prepend(PackEpisodes(pad=self.counts_padding))
        return pipeline

    @property
    def counts_padding(self) -> bool:
        """Whether a loss term counts padding, so that batches must have it."""
        return False
