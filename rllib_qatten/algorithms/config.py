"""The settings that every algorithm of the family shares."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Self

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics.metrics_logger import DEFAULT_STATS_CLS_LOOKUP
from ray.util.debug import log_once

from rllib_qatten.algorithms.documented import documented
from rllib_qatten.algorithms.kinds import check_kind, check_kinds
from rllib_qatten.algorithms.layered_config import LayeredConfig
from rllib_qatten.algorithms.own_options import own_options
from rllib_qatten.algorithms.recipes import RECIPES
from rllib_qatten.algorithms.refusals import (
    check_env,
    check_env_config,
    check_learner_connectors,
    check_rllib_settings,
)
from rllib_qatten.algorithms.searched import is_searched
from rllib_qatten.algorithms.unknown_setting import unknown_setting
from rllib_qatten.algorithms.validation import check_settings
from rllib_qatten.checkpoints.components import policy_folder
from rllib_qatten.checkpoints.location import from_users_folder
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.errors import one_of
from rllib_qatten.mixers.options import options_of
from rllib_qatten.rollout.env_runner import TeamEnvRunner
from rllib_qatten.rollout.pooled_mean import PooledMean
from rllib_qatten.rollout.prioritized_replay import PrioritizedReplay
from rllib_qatten.rollout.replay import EpisodeReplay
from rllib_qatten.training.batch import PackEpisodes
from rllib_qatten.training.checked_batch import CheckBatch
from rllib_qatten.training.learner import ValueDecompositionTorchLearner
from rllib_qatten.training.rl_module import ValueDecompositionRLModule


class ValueDecompositionConfig(LayeredConfig):
    """Settings that all algorithms share; the defaults are PyMARL's recipe for SMAC.

    A subclass names its policy, whose mixer's options become settings; a Learner, if it has a loss
    of its own; and anything else that can be set. An option is declared once, in the signature of
    the mixer or function that reads it (see `rllib_qatten.mixers.options`).
    """

    #: The policy; its mixer's options are settings.
    rl_module_class: ClassVar[type[ValueDecompositionRLModule]] = ValueDecompositionRLModule
    #: The Learner, with the loss; a user's own is RLlib's setting `learner_class`.
    default_learner_class: ClassVar[type[ValueDecompositionTorchLearner]] = (
        ValueDecompositionTorchLearner
    )
    #: Functions whose keyword-only arguments are settings too: a loss, for instance.
    option_sources: ClassVar[tuple[Callable[..., Any], ...]] = ()
    #: Config -> the algorithm that names it. Not an attribute of each class: Ray hashes a class by
    #: its attributes and would recurse forever.
    algorithms: ClassVar[dict[type, type[Algorithm]]] = {}
    named_sets: ClassVar[dict[str, dict[str, dict[str, Any]]]] = {"recipe": RECIPES}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Turns options into settings, and adds them to `training`'s signature and docstring."""
        super().__init_subclass__(**kwargs)
        if "learner_class" in vars(cls):
            raise TypeError(
                f"{cls.__name__}.learner_class would hide RLlib's setting of that name: call it "
                "default_learner_class."
            )
        cls.options = own_options(cls, vars(ValueDecompositionConfig()))
        if "training" not in vars(cls):
            method = documented(cls, ValueDecompositionConfig.training, cls.options)
            # The signature of each subclass is written for it.
            cls.training = method  # type: ignore[method-assign]

    def __init__(self, algo_class: type[Algorithm] | None = None) -> None:
        """Sets the defaults."""
        mine = [self.algorithms[cls] for cls in type(self).__mro__ if cls in self.algorithms]
        super().__init__(algo_class=algo_class or next(iter(mine), None))
        # RLlib's own settings.
        self.gamma = 0.99
        self.grad_clip = 10.0
        self.grad_clip_by = "global_norm"
        self.env_runner_cls = TeamEnvRunner
        self.num_env_runners = 0
        self.num_envs_per_env_runner = 8
        self.batch_mode = "complete_episodes"
        # Long enough for whole games and for relaunching games: RLlib discards what comes late.
        self.sample_timeout_s = self.evaluation_sample_timeout_s = 600.0
        # Every round waits this long for lost env runners; a restored one answers at once.
        self.env_runner_health_probe_timeout_s = 0.2
        self.min_sample_timesteps_per_iteration = 10_000
        self.evaluation_interval = 1
        self.evaluation_duration = 32
        self.evaluation_duration_unit = "episodes"
        self.evaluation_config = {"explore": False}
        self.max_episode_steps: int | None = None
        # Learning has one connector of this package, acting none.
        self.add_default_connectors_to_env_to_module_pipeline = False
        self.add_default_connectors_to_module_to_env_pipeline = False
        self.add_default_connectors_to_learner_pipeline = False
        self.stats_cls_lookup = {**DEFAULT_STATS_CLS_LOOKUP, "pooled_mean": PooledMean}
        # Learning; what recipes set comes from the default recipe.
        self.recipe = "pymarl"
        for name, value in RECIPES[self.recipe].items():
            setattr(self, name, copy.deepcopy(value))
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
        self.init_from: str | None = None
        self.hidden_size = 64
        self.layer_norm = False
        self.orthogonal_init = False
        for option in self.options.values():
            setattr(self, option.name, copy.deepcopy(option.default))

    @override(AlgorithmConfig)
    def environment(
        self,
        env: Any = NotProvided,
        *,
        max_episode_steps: int | None = NotProvided,
        **kwargs: Any,
    ) -> Self:
        """Sets the environment.

        Args:
            env: See base class.
            max_episode_steps: Steps after which a game is truncated (gymnasium's name), for a
                Python environment without an end of its own; targets then bootstrap from the last
                state. None lets games end by themselves.
            **kwargs: RLlib's own.

        Returns:
            This config.
        """
        if not is_searched(env_config := kwargs.get("env_config", {})):
            check_env_config(env_config)
        super().environment(env, **kwargs)
        if max_episode_steps is not NotProvided:
            self.max_episode_steps = max_episode_steps
        return self

    @override(AlgorithmConfig)
    def evaluation(self, *, evaluation_config: Any = NotProvided, **kwargs: Any) -> Self:
        """Sets how teams are evaluated.

        Args:
            evaluation_config: See base class, which would look into it before it is checked.
            **kwargs: RLlib's own.

        Returns:
            This config.
        """
        if evaluation_config is not NotProvided:
            if not is_searched(evaluation_config):
                check_kind("evaluation_config", evaluation_config, "evaluation_config")
            kwargs["evaluation_config"] = evaluation_config
        return super().evaluation(**kwargs)

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
        init_from: str | None = NotProvided,
        hidden_size: int | None = NotProvided,
        layer_norm: bool | None = NotProvided,
        orthogonal_init: bool | None = NotProvided,
        **kwargs: Any,
    ) -> Self:
        """Sets everything about learning.

        Args:
            recipe: A named set of settings, see `RECIPES`. Settings that are set explicitly take
                precedence, whether before or after; those this algorithm lacks are left out.
            optimizer_name: "rmsprop" with PyMARL's constants, or "adam".
            double_q: Whether the live network chooses the next action and the target network values
                it.
            returns: The kind of target: "td_lambda", "q_lambda" (TD(lambda) corrected for exploring
                actions, as in PyMARL2: it draws the value of an action that is not greedy halfway
                to that of the greedy one, also with lambda 0) or "n_step".
            td_lambda: Lambda of the first two; 0 means one-step targets.
            n_step: Number of steps of the last.
            standardize_rewards: Whether to standardize rewards to mean 0 and standard deviation 1,
                by the running statistics of all batches. Without their mean, steps that cost less
                than usual count as gains: a team that decides how long its games last may learn to
                prolong them.
            tau: Below 1, target networks move by this share at every update (soft updates).
            target_update_episodes: With tau 1, episodes between two copies to the target networks.
                A copy is made at the first update that is at least this far from the last copy, so
                at most once per round of games: up to a round of episodes later.
            updates_per_episode: Gradient updates per game played, whatever the number of env
                runners and games; fractions add up.
            train_batch_size_episodes: Episodes in one update.
            replay_capacity_episodes: Episodes kept for replay.
            sampling: "lockstep": games are played, then learned from; or "overlapped": env runners
                play a round of games while the updates due for earlier rounds are done, with
                weights that lag behind by these updates.
            epsilon: Exploration: a number, or a schedule [[0, 1.0], [50000, 0.05]] over env steps.
            team_reward: How the agents' rewards make the team's: "equal" if all get the same one,
                otherwise "sum" or "mean".
            agent: The agent network: "recurrent" (a GRU), "feed_forward" (no memory), or "entity"
                (a GRU that sees units as sets, if the env says how observations are made of them).
            parameter_sharing: Which agents share a network: "all", those of a "unit_type" (which
                the env must declare), or "none".
            precision: The type of the agent network's matrix products while learning: "float32", or
                "bfloat16", which is faster on processors that support it, but not bit-identical.
            replay: "uniform", or "prioritized": episodes with a large mean |TD error| are drawn
                more often.
            priority_exponent: Alpha of prioritized replay, above 0: how much more often.
            importance_exponent: Beta of prioritized replay, how far the loss corrects for that: a
                number, or a schedule [[0, 0.4], [1000000, 1.0]] over env steps.
            checkpoint_replay_buffer: Whether checkpoints hold the replay's episodes, so that a run
                continues as if it had never stopped; only a run's newest two checkpoints keep them.
            init_from: A checkpoint (its folder, or Tune's Checkpoint or Result), or zoo:NAME, whose
                agent network this run begins with; mixer, optimizer and all else begin anew. The
                agents must have the same settings, and the same sizes unless they are entity
                agents, which also begin from other teams' where observations are made alike. The
                file is read without a pickle.
            hidden_size: Width of the agent network.
            layer_norm: Whether to normalize the agent network's hidden layers before their ReLU.
            orthogonal_init: Whether the agent network starts with orthogonal weights.
            **kwargs: RLlib's own, such as lr, gamma and grad_clip.

        Returns:
            This config.

        Raises:
            ValueError: For an argument that is not a setting of this algorithm, with the reason.
        """
        given = {k: v for k, v in locals().items() if k not in ("self", "kwargs", "__class__")}
        for name in kwargs.keys() - inspect.signature(AlgorithmConfig.training).parameters.keys():
            if name not in self.options:
                raise unknown_setting(name, self)
            given[name] = kwargs.pop(name)
        super().training(**kwargs)
        for name, value in given.items():
            if value is not NotProvided:
                setattr(self, name, value)
        return self

    def values_of(self, source: Callable[..., Any]) -> dict[str, Any]:
        """The values set for the options of a function or class, as its keyword arguments."""
        return {name: getattr(self, name) for name in options_of(source)}

    @override(AlgorithmConfig)
    def validate(self) -> None:
        """Checks every range; errors name the key, the value and what is accepted."""
        check_kinds(self)
        check_rllib_settings(self)
        if self.env is not None:  # which settings alone may lack
            check_env(self.env)
        check_env_config(self.env_config)
        # Avoids RLlib's advice to leave the new API stack, the only one that this runs on.
        log_once(f"{self.name}_on_new_api_stack")
        for setting, named in self.named_sets.items():
            if (name := getattr(self, setting)) is not None or setting not in self.options:
                one_of(name, named, setting)
        check_settings(self)  # before RLlib, whose messages for some of them mislead
        super().validate()
        spec: RLModuleSpec | None = vars(self)["_rl_module_spec"]
        if spec is not None and spec.load_state_path:
            # RLlib takes an absolute path to the policy alone.
            found = str(policy_folder(from_users_folder(spec.load_state_path)))
            self._rl_module_spec = dataclasses.replace(spec, load_state_path=found)
        for option in self.options.values():
            option.check(getattr(self, option.name))
        # Building the smallest mixer checks its options.
        self.rl_module_class.make_mixer(
            TeamSpec(("agent",), 1, 1, 1), self._model_config_auto_includes
        )

    @override(AlgorithmConfig)
    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """The algorithm's policy."""
        return RLModuleSpec(module_class=self.rl_module_class)

    @override(AlgorithmConfig)
    def get_default_learner_class(self) -> type[ValueDecompositionTorchLearner]:
        """The Learner with this algorithm's loss."""
        return self.default_learner_class

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
            "mixer": {n: getattr(self, n) for n in self.rl_module_class.mixer_options()},
        }

    def build_replay(self) -> EpisodeReplay:
        """An empty replay with these settings."""
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
        """Episodes become a batch in one connector; the user's own come after it, and a check."""
        pipeline = super().build_learner_connector(*args, **kwargs)
        check_learner_connectors(pipeline.connectors)
        if own := [type(connector).__name__ for connector in pipeline.connectors]:
            pipeline.append(CheckBatch(after=own))
        pipeline.prepend(PackEpisodes(pad=self.counts_padding))
        return pipeline

    @property
    def counts_padding(self) -> bool:
        """Whether a loss term averages over padding, so that batches must be padded."""
        return False
