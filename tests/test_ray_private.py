"""Ray's private names in use: all in one list, each there and with the signature it had."""

from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from tests.ray_private import signature, used

ALGORITHM = "ray.rllib.algorithms.algorithm:Algorithm"
MANAGER = "ray.air.execution._internal.actor_manager:RayActorManager"
#: Private name -> its signature in the tested release, and why no public way serves.
PRIVATE = {
    "._local_tuner": (
        "",
        "A restored Tuner has no public way to give it new callbacks.",
    ),
    "._model_config": (
        "",
        "What was given to rl_module(), apart from what we add to it.",
    ),
    "._threading_lock": (
        "",
        "RLlib sets it so for its own algorithms that train in a thread.",
    ),
    "._upload_to_fs_path": (
        "",
        "Tune copies over the files of a run; ours replace them.",
    ),
    "._worker_manager": (
        "",
        "The public calls leave out the errors of env runners that have ended.",
    ),
    "._tracked_actor": (
        "",
        "Whose calls are forgotten.",
    ),
    "._translate_special_keys": (
        "",
        "A setting may be spelled in two ways, as update_from_dict takes them.",
    ),
    "_no_metrics_reduce=": (
        "",
        "Argument of Learner.update; without it every update reduces what the next one overwrites.",
    ),
    "_resume_config=": (
        "",
        "A finished trial goes on to a later stop only so.",
    ),
    "_return_metrics=": (
        "",
        "Argument of synchronous_parallel_sample on the new API stack.",
    ),
    "_uses_new_env_runners=": (
        "",
        "Argument of synchronous_parallel_sample on the new API stack.",
    ),
    "_tuner_kwargs=": (
        "",
        "A Tuner takes a checkpoint to begin with, as tune.run(restore=), only so.",
    ),
    "ray._common.utils:get_function_args": (
        "callable",
        "The options that Tune itself accepts for a class.",
    ),
    "ray._private.ray_logging:global_worker_stdstream_dispatcher": (
        "WorkerStandardStreamDispatcher",
        "Of the workers' lines only ours are passed on.",
    ),
    "ray.air.execution._internal:RayActorManager": (
        "resource_manager",
        "Tune keeps the result of every call as long as a trial runs.",
    ),
    f"{MANAGER}._actor_task_events": (
        "attribute",
        "The calls that are still awaited.",
    ),
    f"{MANAGER}._actor_task_resolved": (
        "self, tracked_actor_task, result",
        "The moment at which a call is answered.",
    ),
    f"{MANAGER}._tracked_actors_to_task_futures": (
        "attribute",
        "All calls that were ever made.",
    ),
    "ray.experimental.internal_kv:_internal_kv_del": (
        "key, del_by_prefix, namespace",
        "A cluster would keep a run's notes.",
    ),
    "ray.experimental.internal_kv:_internal_kv_exists": (
        "key, namespace",
        "Whether somebody watches.",
    ),
    "ray.experimental.internal_kv:_internal_kv_get": (
        "key, namespace",
        "The driver reads what trials do between two results.",
    ),
    "ray.experimental.internal_kv:_internal_kv_put": (
        "key, value, overwrite, namespace",
        "Tune brings nothing to the driver between two results.",
    ),
    "ray.rllib.algorithms.algorithm:Algorithm._env_id": (
        "attribute",
        "A reused trial process plays another env.",
    ),
    "ray.rllib.algorithms.algorithm:Algorithm._get_env_id_and_creator": (
        "env_specifier, config",
        "A reused trial process plays another env.",
    ),
    "ray.rllib.algorithms.algorithm:Algorithm._evaluate_with_custom_eval_function": (
        "self",
        "Keeps what a custom function logs without a key.",
    ),
    "ray.rllib.algorithms.algorithm:Algorithm._run_one_evaluation": (
        "self, parallel_train_future",
        "The first update waits until weights are copied.",
    ),
    f"{ALGORITHM}._run_one_training_iteration_and_evaluation_in_parallel": (
        "self",
        "The same.",
    ),
    "ray.rllib.algorithms.algorithm_config:AlgorithmConfig._model_config_auto_includes": (
        "property",
        "RLlib's extension point for a module's settings.",
    ),
    "ray.rllib.algorithms.algorithm_config:AlgorithmConfig._rl_module_spec": (
        "attribute",
        "What was given to rl_module(), before defaults are filled in.",
    ),
    "ray.rllib.algorithms.algorithm_config:AlgorithmConfig._translate_special_keys": (
        "key, warn_deprecated",
        "A dict may spell a setting in two ways.",
    ),
    "ray.rllib.core.learner.learner:Learner._learner_connector": (
        "attribute",
        "RLlib saves no state of learner connectors.",
    ),
    "ray.rllib.core.learner.learner:Learner._optimizer_lr_schedules": (
        "attribute",
        "A set learning rate outlives the optimizer's saved one.",
    ),
    "ray.rllib.core.learner.torch.torch_learner:TorchLearner._set_optimizer_lr": (
        "optimizer, lr",
        "The same.",
    ),
    "ray.rllib.core.rl_module.rl_module:RLModule._forward": (
        "self, batch, **kwargs",
        "RLlib's documented extension point.",
    ),
    "ray.rllib.core.rl_module.rl_module:RLModule._forward_train": (
        "self, batch, **kwargs",
        "RLlib's documented extension point.",
    ),
    "ray.rllib.env.single_agent_env_runner:SingleAgentEnvRunner._callbacks": (
        "attribute",
        "Whether anybody listens to episodes is asked once.",
    ),
    "ray.rllib.env.single_agent_env_runner:SingleAgentEnvRunner._sample": (
        "self, num_timesteps, num_episodes, explore, random_actions, force_reset",
        "Whole games of a team instead of episodes of one agent.",
    ),
    "ray.rllib.utils.checkpoints:Checkpointable._check_component": (
        "self, name, components, not_components",
        "How a component is told to be wanted.",
    ),
    "ray.train._internal:storage": (
        "module",
        "The same as _upload_to_fs_path, which is in it.",
    ),
    "ray.tune.logger.csv:CSVLoggerCallback._setup_trial": (
        "self, trial",
        "progress.csv of a restored trial keeps its columns.",
    ),
    "ray.tune.logger.csv:CSVLoggerCallback._trial_continue": (
        "attribute",
        "The same.",
    ),
    "ray.tune.logger.csv:CSVLoggerCallback._trial_csv": (
        "attribute",
        "The same.",
    ),
    "ray.tune.logger.csv:CSVLoggerCallback._trial_files": (
        "attribute",
        "The same.",
    ),
    "ray.tune.logger.logger:LoggerCallback._restore_from_remote": (
        "self, file_name, trial",
        "A restored trial keeps the file that is here.",
    ),
    "ray.tune.registry:_global_registry": (
        "_Registry",
        "Envs that a user registered with Tune are found by name.",
    ),
    "ray.tune.trainable.trainable:Trainable._storage": (
        "attribute",
        "Where Tune keeps a trial's checkpoints.",
    ),
    "ray.tune.trainable.trainable:Trainable._time_total": (
        "attribute",
        "Seconds so far go on after a restore.",
    ),
}


def changed(private):
    """One line for each name that is gone or has another signature."""
    for what, (before, why) in private.items():
        now = signature(what)
        if now is None:
            yield f"{what} is gone; it was ({before}). {why}"
        elif now != before:
            yield f"{what} is now ({now}); it was ({before}). {why}"


def test_each_is_as_it_was():
    assert not (found := list(changed(PRIVATE))), "\n" + "\n".join(found)


def test_the_list_is_whole_and_has_nothing_else():
    found = used()
    assert {what: found[what] for what in found.keys() - PRIVATE.keys()} == {}
    assert PRIVATE.keys() - found.keys() == set(), "no longer in use"


def test_a_private_method_that_is_renamed_is_named(monkeypatch):
    monkeypatch.setattr(
        SingleAgentEnvRunner, "_collect", SingleAgentEnvRunner._sample, raising=False
    )
    monkeypatch.delattr(SingleAgentEnvRunner, "_sample")
    assert any("SingleAgentEnvRunner._sample is gone" in line for line in changed(PRIVATE))


def test_another_signature_is_named(monkeypatch):
    monkeypatch.setattr(SingleAgentEnvRunner, "_sample", lambda self, num_steps: None)
    said = "SingleAgentEnvRunner._sample is now (self, num_steps); it was (self, num_timesteps"
    assert any(said in line for line in changed(PRIVATE))
