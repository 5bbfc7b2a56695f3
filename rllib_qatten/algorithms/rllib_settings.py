"""What each setting of RLlib's `AlgorithmConfig` does here.

Each is in one of three tables, for the Ray version that this package is tested with: `WORKS`;
`NOT_USED`, with the setting or method that replaces it here; and `CANNOT`, with the reason.
Settings in the last two are refused unless at their default. docs/settings.md shows the same, and a
test compares both with `vars(AlgorithmConfig())`, so that no setting of a new Ray slips through.
"""

from __future__ import annotations

_OLD_STACK = "part of RLlib's old API stack, which is not used here"
_TENSORFLOW = "networks are PyTorch modules"
_OFFLINE = "learning from recorded games is not supported: games are always played"
_RECORDING = (
    "games are not recorded: RLlib's writer takes its own episodes, not a team's; a checkpoint's "
    "replay holds the last ones, and the callback on_sample_end gets every one"
)
_WHOLE_GAMES = "env runners play whole games: num_envs_per_env_runner of them per round"
_ONE_POLICY = (
    "a team has one policy, default_policy, and its mixer needs all agents; for a network per "
    "agent or per kind of agent, set parameter_sharing: none or unit_type"
)
_EPISODES = "episodes are arrays of a whole team, never cut"
_NO_FILTER = (
    "observations reach acting, learning and exported teams as the env gives them: scale them in a "
    "wrapper of the env (docs/settings.md has one), or use layer_norm"
)
_CONNECTOR = (
    "its changes would reach acting here, but not learning, TeamPolicy or an exported team: "
    "change observations and actions in a wrapper of the env (docs/settings.md has one)"
)
_STATES = "env runners have no connector states; they always get the step count"
#: Attributes that a config's methods spell differently.
SPELLED = {
    "_env_to_module_connector": "env_to_module_connector",
    "_is_atari": "is_atari",
    "_learner_class": "learner_class",
    "_learner_connector": "learner_connector",
    "_model_config": "model_config",
    "_module_to_env_connector": "module_to_env_connector",
    "_rl_module_spec": "rl_module_spec",
    "_train_batch_size_per_learner": "train_batch_size_per_learner",
    "framework_str": "framework",
    "stats_cls_lookup": "custom_stats_cls_lookup",
}

#: Set by RLlib itself, or by another of its methods.
_OWN = "RLlib's own"

WORKS: dict[str, str] = {
    "algo_class": _OWN,
    "_is_frozen": _OWN,
    "_is_online": _OWN,
    "_per_module_overrides": _OWN,
    "_prior_exploration_config": _OWN,
    "in_evaluation": _OWN,
    # Resources.
    "placement_strategy": "how Tune places a trial's processes",
    "num_cpus_for_main_process": "below 1, several trials share a core",
    "custom_resources_for_main_process": "",
    "torch_ddp_kwargs": "with num_learners of 2 or more",
    # The environment.
    "env": "a registered name, module:Class or module:function, a class; in Python a function is "
    "registered first: tune.register_env(NAME, function)",
    "env_config": "",
    # Env runners.
    "env_runner_cls": "a subclass of TeamEnvRunner",
    "num_env_runners": "",
    "create_local_env_runner": "",
    "create_env_on_local_worker": "",
    "num_envs_per_env_runner": "parallel games in an env runner, one network call for all",
    "num_cpus_per_env_runner": "",
    "custom_resources_per_env_runner": "",
    "validate_env_runners_after_construction": "",
    "sample_timeout_s": "default 600: enough for whole games, and for relaunching games",
    "explore": "false: training games are greedy",
    # Learning.
    "num_learners": "they share every batch, and learn what a single one would",
    "num_gpus_per_learner": "",
    "num_cpus_per_learner": "also the threads of its updates (docs/scale.md)",
    "custom_resources_per_learner": "",
    "local_gpu_idx": "",
    "gamma": "",
    "lr": "a number, or a schedule over env steps",
    "grad_clip": "",
    "grad_clip_by": "",
    "_learner_class": "a subclass of ValueDecompositionTorchLearner",
    "_learner_connector": "runs on the packed batch, see above",
    "learner_config_dict": "for a learner_class of your own",
    # Callbacks.
    "callbacks_class": "",
    "callbacks_on_algorithm_init": "",
    "callbacks_on_env_runners_recreated": "",
    "callbacks_on_checkpoint_loaded": "",
    "callbacks_on_environment_created": "",
    "callbacks_on_episode_created": "",
    "callbacks_on_episode_start": "",
    "callbacks_on_episode_step": "",
    "callbacks_on_episode_end": "",
    "callbacks_on_evaluate_start": "",
    "callbacks_on_evaluate_end": "",
    "callbacks_on_sample_end": "gets whole episodes of the team",
    "callbacks_on_train_result": "",
    # Evaluation.
    "evaluation_interval": "default 1; none: only evaluate() evaluates, also in games of its own",
    "evaluation_duration": "default 32; a number of episodes is played exactly",
    "evaluation_duration_unit": "default episodes; timesteps leave out games that they cut off, "
    "which are rather the long ones",
    "evaluation_sample_timeout_s": "default 600",
    "evaluation_auto_duration_min_env_steps_per_sample": "",
    "evaluation_auto_duration_max_env_steps_per_sample": "",
    "evaluation_parallel_to_training": "evaluates the weights that the iteration began with",
    "evaluation_unhealthy_workers_timeout_s": "",
    "evaluation_error_after_n_consecutive_skips": "",
    "evaluation_force_reset_envs_before_iteration": "a number of episodes always starts anew",
    "evaluation_config": "default {explore: false}; settings that env runners read",
    "evaluation_num_env_runners": "",
    "custom_evaluation_function": "what it logs and what it returns are in the result",
    # Results.
    "min_time_s_per_iteration": "",
    "min_train_timesteps_per_iteration": "",
    "min_sample_timesteps_per_iteration": "default 10,000",
    "log_gradients": "",
    "stats_cls_lookup": "must include the classes of config.stats_cls_lookup",
    # Debugging.
    "log_level": "",
    "log_sys_usage": "",
    "seed": "same seed, same numbers on a CPU",
    "_validate_config": "switches off RLlib's checks; this package's stay",
    # Faults.
    "restart_failed_env_runners": "for one whose process ended or hangs; where a Python env "
    "raises, it alone is made anew, as with restart_failed_sub_environments",
    "ignore_env_runner_failures": "as in RLlib, only if restart_failed_env_runners is false",
    "max_num_env_runner_restarts": "",
    "delay_between_env_runner_restarts_s": "",
    "restart_failed_sub_environments": "Python envs; the game is dropped and counted; "
    "10 faults in a row end training",
    "num_consecutive_env_runner_failures_tolerance": "",
    "env_runner_health_probe_timeout_s": "default 0.2: every round waits this long for lost ones",
    "env_runner_restore_timeout_s": "",
    # The policy.
    "_rl_module_spec": "an RLModuleSpec whose module_class subclasses the algorithm's",
    "_model_config": "keys that an RLModule class of your own reads",
}

NOT_USED: dict[str, str] = {
    "extra_python_environs_for_driver": "set them in the shell",
    "extra_python_environs_for_worker": 'ray.init(runtime_env={"env_vars": {...}}) sets them',
    "num_gpus": "set num_gpus_per_learner",
    "_fake_gpus": "set num_gpus_per_learner: 0",
    "observation_space": "the env's own spaces are used",
    "action_space": "the env's own spaces are used",
    "clip_rewards": "set standardize_rewards, or clip them in the env",
    "normalize_actions": "actions are discrete",
    "clip_actions": "actions are discrete",
    "_is_atari": "wrap the env as needed",
    "render_env": "rllib evaluate CHECKPOINT --video FILE draws battles",
    "action_mask_key": "the env provides its mask as action_mask",
    "gym_env_vectorize_mode": "num_envs_per_env_runner games share a process: for more processes, "
    "raise num_env_runners",
    "remote_worker_envs": "for more processes, raise num_env_runners",
    "remote_env_batch_wait_ms": "for more processes, raise num_env_runners",
    "max_requests_in_flight_per_env_runner": "an env runner is asked for one round at a time; "
    "sampling: overlapped plays while the learner learns",
    "rollout_fragment_length": _WHOLE_GAMES,
    "batch_mode": _WHOLE_GAMES,
    "episode_lookback_horizon": _EPISODES,
    "episodes_to_numpy": _EPISODES,
    "compress_observations": "the replay keeps float32 in memory; a checkpoint compresses it",
    "observation_filter": _NO_FILTER,
    "preprocessor_pref": _NO_FILTER,
    "train_batch_size": "set train_batch_size_episodes: batches consist of whole games",
    "_train_batch_size_per_learner": "set train_batch_size_episodes: batches consist of whole "
    "games, and all learners share one",
    "num_epochs": "set updates_per_episode: each update draws its own batch",
    "minibatch_size": "set train_batch_size_episodes and updates_per_episode: an update uses its "
    "whole batch",
    "shuffle_batch_per_epoch": "set updates_per_episode: each update draws its own batch",
    "max_requests_in_flight_per_learner": "updates always wait for all learners",
    "model": "set agent (recurrent, feed_forward or entity), hidden_size and the mixer's options "
    "in training()",
    "optimizer": "set optimizer_name (rmsprop or adam), lr and grad_clip",
    "exploration_config": "set epsilon: a number, or [[0, 1.0], [50000, 0.05]] over env steps",
    "policies": _ONE_POLICY,
    "policy_mapping_fn": _ONE_POLICY,
    "policies_to_train": _ONE_POLICY,
    "policy_map_capacity": _ONE_POLICY,
    "policy_states_are_swappable": _ONE_POLICY,
    "algorithm_config_overrides_per_module": _ONE_POLICY + "; set settings directly",
    "observation_fn": _NO_FILTER,
    "count_steps_by": "steps are env steps: all agents act in each one",
    "keep_per_episode_custom_metrics": "log them in a callback: metrics_logger.log_value(name, "
    'value, reduce="item_series")',
    "metrics_num_episodes_for_smoothing": "means are over exactly the games of the iteration, or "
    "of the evaluation",
    "metrics_episode_collection_timeout_s": "set sample_timeout_s",
    "export_native_model_files": "rllib export CHECKPOINT writes ONNX or torch.export's format",
    "checkpoint_trainable_policies_only": "every checkpoint holds team_policy/, which acts alone",
    # RLlib's own old names.
    "env_task_fn": "change the env's task from a callback",
    "monitor": "rllib evaluate CHECKPOINT --video FILE draws battles",
    "evaluation_num_episodes": "set evaluation_duration",
    "metrics_smoothing_episodes": "means are over exactly the games of the iteration",
    "timesteps_per_iteration": "set min_sample_timesteps_per_iteration",
    "min_iter_time_s": "set min_time_s_per_iteration",
    "collect_metrics_timeout": "set sample_timeout_s",
    "min_time_s_per_reporting": "set min_time_s_per_iteration",
    "min_train_timesteps_per_reporting": "set min_train_timesteps_per_iteration",
    "min_sample_timesteps_per_reporting": "set min_sample_timesteps_per_iteration",
    "policy_map_cache": _ONE_POLICY,
    "worker_cls": "set env_runner_cls",
    "enable_async_evaluation": "set evaluation_parallel_to_training",
    "custom_async_evaluation_function": "set custom_evaluation_function",
    "always_attach_evaluation_results": "an iteration without an evaluation reports NaN",
    "buffer_size": "set replay_capacity_episodes",
    "prioritized_replay": "set replay: prioritized",
    "learning_starts": "learning starts with train_batch_size_episodes games",
    "replay_batch_size": "set train_batch_size_episodes",
    "replay_sequence_length": "whole games are replayed",
    "replay_mode": "whole games of the whole team are replayed",
    "prioritized_replay_alpha": "set priority_exponent",
    "prioritized_replay_beta": "set importance_exponent",
    "prioritized_replay_eps": "set replay: prioritized",
}

CANNOT: dict[str, str] = {
    "framework_str": _TENSORFLOW,
    "eager_tracing": _TENSORFLOW,
    "eager_max_retraces": _TENSORFLOW,
    "tf_session_args": _TENSORFLOW,
    "local_tf_session_args": _TENSORFLOW,
    "enable_tf1_exec_eagerly": _TENSORFLOW,
    "_tf_policy_handles_more_than_one_loss": _TENSORFLOW,
    "torch_compile_learner": "RLlib compiles nothing here with forward_train, and for minutes with "
    "complete_update: batches of whole games change their shape with every update",
    "torch_compile_learner_what_to_compile": "see torch_compile_learner",
    "torch_compile_learner_dynamo_backend": "see torch_compile_learner",
    "torch_compile_learner_dynamo_mode": "see torch_compile_learner",
    "torch_compile_worker": "RLlib's new env runners do not compile",
    "torch_compile_worker_dynamo_backend": "see torch_compile_worker",
    "torch_compile_worker_dynamo_mode": "see torch_compile_worker",
    "torch_skip_nan_gradients": "a loss that is not finite stops training before weights change",
    "disable_env_checking": "an env that breaks the contract cannot be learned from",
    "num_gpus_per_env_runner": "acting runs on the CPU, where games are played",
    "add_default_connectors_to_env_to_module_pipeline": "RLlib's connectors do not support teams",
    "add_default_connectors_to_module_to_env_pipeline": "RLlib's connectors do not support teams",
    "add_default_connectors_to_learner_pipeline": "RLlib's connectors do not support teams",
    "_env_to_module_connector": _CONNECTOR,
    "_module_to_env_connector": _CONNECTOR,
    "merge_env_runner_states": _STATES,
    "broadcast_env_runner_states": _STATES,
    "use_env_runner_state_server": "only RLlib's asynchronous algorithms push weights to it",
    "env_runner_state_server_max_concurrency": "see use_env_runner_state_server",
    "num_aggregator_actors_per_learner": "the learner packs the batches of whole games",
    "max_requests_in_flight_per_aggregator_actor": "see num_aggregator_actors_per_learner",
    "_use_msgpack_checkpoints": "RLlib's new API stack does not read it",
    "_torch_grad_scaler_class": "a checkpoint would not hold its state; precision: bfloat16 needs "
    "none",
    "_torch_lr_scheduler_classes": "a checkpoint would not hold their state; lr takes a schedule",
    "_dont_auto_sync_env_runner_states": "only RLlib's asynchronous algorithms sync on their own",
    "enable_rl_module_and_learner": "only RLlib's new API stack is supported",
    "enable_env_runner_and_connector_v2": "only RLlib's new API stack is supported",
    **dict.fromkeys(
        (
            "sample_collector",
            "update_worker_filter_stats",
            "use_worker_filter_stats",
            "sampler_perf_stats_ema_coef",
            "sync_filters_on_rollout_workers_timeout_s",
            "fake_sampler",
            "_disable_preprocessor_api",
            "_disable_action_flattening",
            "_disable_initialize_loss_from_dummy_batch",
            "_disable_execution_plan_api",
            "simple_optimizer",
            "enable_connectors",
            "synchronize_filters",
            "_enable_rl_module_api",
            "auto_wrap_old_gym_envs",
        ),
        _OLD_STACK,
    ),
    **dict.fromkeys(
        (
            "input_",
            "offline_data_class",
            "input_read_method",
            "input_read_method_kwargs",
            "input_read_schema",
            "input_read_episodes",
            "input_read_sample_batches",
            "input_read_batch_size",
            "input_filesystem",
            "input_filesystem_kwargs",
            "input_compress_columns",
            "input_spaces_jsonable",
            "materialize_data",
            "materialize_mapped_data",
            "map_batches_kwargs",
            "iter_batches_kwargs",
            "ignore_final_observation",
            "prelearner_class",
            "prelearner_buffer_class",
            "prelearner_buffer_kwargs",
            "prelearner_module_synch_period",
            "prelearner_use_recorded_module_states",
            "dataset_num_iters_per_learner",
            "input_config",
            "input_evaluation",
            "actions_in_input_normalized",
            "postprocess_inputs",
            "shuffle_buffer_size",
            "offline_sampling",
            "off_policy_estimation_methods",
            "ope_split_batch_by_episode",
            "callbacks_on_offline_eval_runners_recreated",
            "callbacks_on_evaluate_offline_start",
            "callbacks_on_evaluate_offline_end",
            "offline_evaluation_interval",
            "num_offline_eval_runners",
            "offline_evaluation_type",
            "offline_eval_runner_class",
            "offline_loss_for_module_fn",
            "offline_evaluation_duration",
            "offline_evaluation_parallel_to_training",
            "offline_evaluation_timeout_s",
            "num_cpus_per_offline_eval_runner",
            "num_gpus_per_offline_eval_runner",
            "custom_resources_per_offline_eval_runner",
            "restart_failed_offline_eval_runners",
            "ignore_offline_eval_runner_failures",
            "max_num_offline_eval_runner_restarts",
            "offline_eval_runner_restore_timeout_s",
            "max_requests_in_flight_per_offline_eval_runner",
            "validate_offline_eval_runners_after_construction",
            "offline_eval_runner_health_probe_timeout_s",
            "offline_eval_rl_module_inference_only",
            "broadcast_offline_eval_runner_states",
            "offline_eval_batch_size_per_runner",
            "dataset_num_iters_per_eval_runner",
        ),
        _OFFLINE,
    ),
    **dict.fromkeys(
        (
            "output",
            "output_config",
            "output_compress_columns",
            "output_max_file_size",
            "output_max_rows_per_file",
            "output_write_remaining_data",
            "output_write_method",
            "output_write_method_kwargs",
            "output_filesystem",
            "output_filesystem_kwargs",
            "output_write_episodes",
        ),
        _RECORDING,
    ),
}

#: Attributes that `to_dict` spells differently; dicts may use either.
ALIASED = (
    "callbacks_class",
    "create_env_on_local_worker",
    "custom_evaluation_function",
    "framework_str",
    "input_",
)
_ATTRIBUTES = {spelled: name for name, spelled in SPELLED.items()}


def attribute(name: str) -> str:
    """The attribute that holds a setting, as a dict or an argument may spell it."""
    if name.startswith("on_"):
        return f"callbacks_{name}"
    return _ATTRIBUTES.get(name, name)


def public(name: str) -> str:
    """A setting as users write it, from the attribute that holds it."""
    if name.startswith("callbacks_on_"):
        return name.removeprefix("callbacks_")
    return SPELLED.get(name, name)
