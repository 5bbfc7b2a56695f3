"""Evaluation plays in env runners of its own, also when it is only asked for by hand."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import NUM_EPISODES

from rllib_qatten import keys
from rllib_qatten.checkpoints.resume import ResumableAlgorithm
from rllib_qatten.envs import TeamSpec
from rllib_qatten.messages import say
from rllib_qatten.rollout import global_rng


def check_same_sizes(trained: TeamSpec, played: TeamSpec) -> None:
    """Evaluation may play another env, but with the same networks.

    Raises:
        ValueError: If the env's sizes differ.
    """
    [one, other] = (
        [spec.n_agents, spec.n_actions, spec.observation_size] for spec in (trained, played)
    )
    if one != other:
        raise ValueError(
            "The env of evaluation_config has [agents, actions, observation length] "
            f"{other}, that of training has {one}: one network plays both."
        )


class OwnEnvRunner(ResumableAlgorithm):
    """Evaluates in an env runner with the evaluation's settings and games, whatever the interval.

    Without an interval and remote env runners, RLlib plays evaluations in the training's env
    runner: with exploration, in the midst of its games, and its steps move the exploration's
    schedule. Here the first evaluation makes one, so that whoever never evaluates has no other env.

    RLlib tells only remote ones whether to begin anew; here a local one, too, follows
    `evaluation_force_reset_envs_before_iteration`.
    """

    eval_env_runner_group: Any  # or None, as RLlib has it
    #: Whether the user knows that evaluations may end without a score.
    _told = False

    @override(Algorithm)
    def setup(self, config: Any) -> None:
        """See base class."""
        super().setup(config)
        if self.eval_env_runner_group is not None:
            self._check_evaluation_env()

    @override(Algorithm)
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """See base class."""
        if self.eval_env_runner_group is None:
            self.eval_env_runner_group = self._made()
            self._check_agents()
            self._check_evaluation_env()
        if self.eval_env_runner is not None:
            anew = self.config.evaluation_force_reset_envs_before_iteration
            self.eval_env_runner.begins_anew = anew
        result = super().evaluate(*args, **kwargs)
        self._tell_if_too_short(result.get(keys.ENV_RUNNERS, {}))
        return result

    def _tell_if_too_short(self, found: dict[str, Any]) -> None:
        """Says once that an evaluation has no score."""
        config = self.config
        ended = config.custom_evaluation_function or found.get(NUM_EPISODES) != 0
        if self._told or ended:
            return
        self._told = True
        say(
            "An evaluation ended before any of its games did, so that it has no score: "
            f"evaluation_duration is {config.evaluation_duration} "
            f"{config.evaluation_duration_unit} of all games together. Raise it, or set "
            "evaluation_duration_unit: episodes."
        )

    def _made(self) -> EnvRunnerGroup:
        """A local env runner for evaluation."""
        config = self.evaluation_config
        _, env_creator = self._get_env_id_and_creator(config.env, config)
        with global_rng.kept():  # RLlib seeds the process
            return EnvRunnerGroup(
                env_creator=env_creator,
                config=config,
                logdir=self.logdir,
                tune_trial_id=self.trial_id,
            )

    def _check_evaluation_env(self) -> None:
        """See `check_same_sizes`."""
        if not {"env", "env_config"} & (self.config.evaluation_config or {}).keys():
            return  # asking remote env runners takes a while
        trained, played = (
            group[DEFAULT_MODULE_ID][0].spec
            for group in (self.spaces, self.eval_env_runner_group.get_spaces())
        )
        check_same_sizes(trained, played)
