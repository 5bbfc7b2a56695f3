"""What settings of other codebases are called here: hints for unknown keys.

docs/coming_from.md shows the same table; a test holds them together.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

from rllib_qatten.errors import one_of

PYMARL, EPYMARL, PYMARL2, JAXMARL = "PyMARL", "EPyMARL", "PyMARL2", "JaxMARL"
RLLIB, MARLLIB, AUTHORS, TUNE = "older RLlib", "MARLlib", "the Qatten authors", "Tune"


class OldName(NamedTuple):
    """A setting of another codebase.

    Attributes:
        whose: The codebase that has it.
        here: This package's settings for it, with " and " between several; "" if there is none.
        note: What differs, or why there is none, with this package's names in backquotes.
    """

    whose: str
    here: str
    note: str = ""


_ALGORITHM = "the algorithm itself: `Qatten`, `QMIX`, `VDN`, ... (`run` in YAML)"
_INPUTS = "every agent sees its own observation, its last action and its id"
_RESULTS = (
    "Tune writes results once per iteration: every `min_sample_timesteps_per_iteration` env steps"
)
_EPSILON = "a schedule over env steps, as in [[0, 1.0], [50000, 0.05]]"
_CONSTANT = "RMSprop's constants are PyMARL's: alpha 0.99, epsilon 1e-5"
_STOP = "a stopping criterion: `stop` in YAML, --stop, or Tune's"
_WHOLE = "games are played to the end and kept whole"

OLD_NAMES: dict[str, OldName] = {
    # Exploration.
    "action_selector": OldName(PYMARL, "epsilon", "exploration is always epsilon-greedy"),
    "epsilon_start": OldName(PYMARL, "epsilon", _EPSILON),
    "epsilon_finish": OldName(PYMARL, "epsilon", _EPSILON),
    "epsilon_anneal_time": OldName(PYMARL, "epsilon", _EPSILON),
    "evaluation_epsilon": OldName(
        EPYMARL, "evaluation_config", "with {explore: true, `epsilon`: ...}; greedy otherwise"
    ),
    "test_greedy": OldName(PYMARL, "evaluation_config", "with explore: false, the default"),
    "initial_epsilon": OldName(RLLIB, "epsilon", _EPSILON),
    "final_epsilon": OldName(RLLIB, "epsilon", _EPSILON),
    "epsilon_timesteps": OldName(RLLIB, "epsilon", _EPSILON),
    "warmup_timesteps": OldName(RLLIB, "epsilon", _EPSILON),
    # Sampling.
    "batch_size_run": OldName(PYMARL, "num_envs_per_env_runner"),
    "runner": OldName(PYMARL, "num_envs_per_env_runner", "games always run in parallel"),
    "num_workers": OldName(RLLIB, "num_env_runners"),
    "num_rollout_workers": OldName(RLLIB, "num_env_runners"),
    "num_envs_per_worker": OldName(RLLIB, "num_envs_per_env_runner"),
    "t_max": OldName(PYMARL, "", _STOP),
    "stop_timesteps": OldName(MARLLIB, "", _STOP),
    "stop_iters": OldName(MARLLIB, "", _STOP),
    "stop_reward": OldName(MARLLIB, "", _STOP),
    "horizon": OldName(
        RLLIB, "", "the env truncates its games, for example by a limit in `env_config`"
    ),
    "soft_horizon": OldName(RLLIB, "", "the env truncates its games"),
    "no_done_at_end": OldName(RLLIB, "", "truncate in the env: targets then bootstrap"),
    "episode_limit": OldName(PYMARL, "", "the env's own; battles have SMAC's limits"),
    "timesteps_per_iteration": OldName(RLLIB, "min_sample_timesteps_per_iteration"),
    "min_iter_time_s": OldName(RLLIB, "min_time_s_per_iteration"),
    "env_args": OldName(PYMARL, "env_config"),
    # Evaluation.
    "test_nepisode": OldName(PYMARL, "evaluation_duration", "with the unit episodes"),
    "test_interval": OldName(
        PYMARL,
        "evaluation_interval and min_sample_timesteps_per_iteration",
        "counted in iterations, which are counted in env steps",
    ),
    "evaluation_num_episodes": OldName(RLLIB, "evaluation_duration"),
    "evaluation_num_workers": OldName(RLLIB, "evaluation_num_env_runners"),
    "evaluate": OldName(PYMARL, "", "the command rllib evaluate CHECKPOINT"),
    # Learning.
    "batch_size": OldName(PYMARL, "train_batch_size_episodes", "games, as there"),
    "batch_episode": OldName(MARLLIB, "train_batch_size_episodes"),
    "buffer_size": OldName(
        PYMARL, "replay_capacity_episodes", "games, as there; RLlib's counts steps"
    ),
    "replay_buffer_config": OldName(
        RLLIB, "replay_capacity_episodes and replay", "a replay of whole games; no steps"
    ),
    "capacity": OldName(RLLIB, "replay_capacity_episodes", "games, not steps"),
    "prioritized_replay": OldName(RLLIB, "replay", "prioritized, of whole games"),
    "prioritized_replay_alpha": OldName(RLLIB, "priority_exponent"),
    "prioritized_replay_beta": OldName(RLLIB, "importance_exponent"),
    "per_alpha": OldName(PYMARL2, "priority_exponent", "with `replay`: prioritized"),
    "per_beta": OldName(PYMARL2, "importance_exponent", "with `replay`: prioritized"),
    "learning_starts": OldName(
        RLLIB, "train_batch_size_episodes", "learning starts with as many games as a batch has"
    ),
    "num_steps_sampled_before_learning_starts": OldName(
        RLLIB, "train_batch_size_episodes", "learning starts with as many games as a batch has"
    ),
    "training_intensity": OldName(RLLIB, "updates_per_episode"),
    "num_sgd_iter": OldName(RLLIB, "updates_per_episode"),
    "target_update_interval": OldName(PYMARL, "target_update_episodes", "games, as there"),
    "target_update_interval_or_tau": OldName(
        EPYMARL,
        "target_update_episodes and tau",
        "the first for values above 1, the second for those below",
    ),
    "target_network_update_freq": OldName(
        RLLIB, "target_update_episodes", "games; RLlib's and MARLlib's count steps"
    ),
    "lr_schedule": OldName(RLLIB, "lr", "takes the schedule: [[0, 0.001], [1000000, 0.0001]]"),
    "lr_decay": OldName(PYMARL, "lr", "a schedule over env steps: [[0, 0.001], [1000000, 0.0001]]"),
    "learning_rate": OldName(RLLIB, "lr"),
    "critic_lr": OldName(PYMARL, "lr", "one optimizer for all networks"),
    "optim": OldName(PYMARL2, "optimizer_name", "rmsprop or adam"),
    "optim_alpha": OldName(PYMARL, "optimizer_name", _CONSTANT),
    "optim_eps": OldName(PYMARL, "optimizer_name", _CONSTANT),
    "grad_norm_clip": OldName(PYMARL, "grad_clip"),
    "grad_norm_clipping": OldName(RLLIB, "grad_clip"),
    "q_lambda": OldName(PYMARL2, "returns", "q_lambda"),
    "standardise_rewards": OldName(EPYMARL, "standardize_rewards"),
    "reward_standardize": OldName(MARLLIB, "standardize_rewards"),
    "reward_standardise": OldName(MARLLIB, "standardize_rewards"),
    "standardise_returns": OldName(EPYMARL, "", "only rewards: `standardize_rewards`"),
    "standardize_returns": OldName(EPYMARL, "", "only rewards: `standardize_rewards`"),
    "common_reward": OldName(EPYMARL, "team_reward"),
    "reward_scalarisation": OldName(EPYMARL, "team_reward", "sum or mean"),
    "add_value_last_step": OldName(EPYMARL, "", "targets always bootstrap from truncation"),
    "use_cuda": OldName(PYMARL, "num_gpus_per_learner"),
    "buffer_cpu_only": OldName(PYMARL, "", "the replay is in main memory"),
    # Networks.
    "mixer": OldName(PYMARL, "", _ALGORITHM),
    "learner": OldName(PYMARL, "", _ALGORITHM),
    "mac": OldName(PYMARL, "agent", "recurrent is PyMARL's rnn; entity is near to hpn's"),
    "name": OldName(PYMARL, "", _ALGORITHM),
    "agent_output_type": OldName(PYMARL, "", "agents always output utilities"),
    "rnn_hidden_dim": OldName(PYMARL, "hidden_size"),
    "hidden_dim": OldName(EPYMARL, "hidden_size"),
    "hidden_state_size": OldName(MARLLIB, "hidden_size"),
    "lstm_cell_size": OldName(RLLIB, "hidden_size", "a GRU"),
    "use_rnn": OldName(EPYMARL, "agent", "recurrent or feed_forward"),
    "core_arch": OldName(MARLLIB, "agent", "recurrent, a GRU, feed_forward, or entity"),
    "encode_layer": OldName(MARLLIB, "hidden_size", "one layer before the GRU, of the same width"),
    "share_policy": OldName(
        MARLLIB, "parameter_sharing", "group is unit_type here, individual is none"
    ),
    "obs_agent_id": OldName(PYMARL, "", _INPUTS),
    "obs_last_action": OldName(PYMARL, "", _INPUTS),
    "obs_individual_obs": OldName(EPYMARL, "", "the state is the env's own, or all observations"),
    "use_layer_norm": OldName(PYMARL2, "layer_norm"),
    "use_orthogonal": OldName(PYMARL2, "orthogonal_init"),
    "gain": OldName(PYMARL2, "orthogonal_init"),
    "embed_dim": OldName(PYMARL, "mixing_embed_dim"),
    "mixing_embed_size": OldName(PYMARL, "mixing_embed_dim"),
    "mixer_embed_dim": OldName(PYMARL, "mixing_embed_dim"),
    "hypernet_embed_dim": OldName(PYMARL, "hypernet_embed"),
    "hypernet_hidden_dim": OldName(PYMARL, "hypernet_embed"),
    "n_head": OldName(AUTHORS, "n_heads"),
    "weighted_head": OldName(AUTHORS, "weighted_heads"),
    "nonlinear": OldName(AUTHORS, "q_in_key"),
    "n_attention_head": OldName(PYMARL2, "n_heads"),
    "n_query_embedding_layer1": OldName(PYMARL2, "hypernet_embed"),
    "n_query_embedding_layer2": OldName(PYMARL2, "mixing_embed_dim"),
    "n_key_embedding_layer1": OldName(PYMARL2, "mixing_embed_dim"),
    "n_head_embedding_layer1": OldName(PYMARL2, "hypernet_embed"),
    "n_constrant_value": OldName(PYMARL2, "hypernet_embed", "the layers before c(state)"),
    # JaxMARL's, which it writes in capitals.
    "num_envs": OldName(JAXMARL, "num_envs_per_env_runner", _WHOLE),
    "num_steps": OldName(JAXMARL, "", _WHOLE),
    "total_timesteps": OldName(JAXMARL, "", _STOP),
    "buffer_batch_size": OldName(JAXMARL, "train_batch_size_episodes", "games, not windows"),
    "num_mini_epochs": OldName(JAXMARL, "updates_per_episode", "per game, not per round"),
    "eps_start": OldName(JAXMARL, "epsilon", _EPSILON),
    "eps_finish": OldName(JAXMARL, "epsilon", _EPSILON),
    "eps_decay": OldName(JAXMARL, "epsilon", _EPSILON),
    "max_grad_norm": OldName(JAXMARL, "grad_clip"),
    "lr_linear_decay": OldName(JAXMARL, "lr", "a schedule over env steps"),
    "mixer_embedding_dim": OldName(JAXMARL, "mixing_embed_dim"),
    "mixer_hypernet_hidden_dim": OldName(JAXMARL, "hypernet_embed"),
    "mixer_init_scale": OldName(JAXMARL, "", "layers begin as torch's do"),
    "rew_scale": OldName(JAXMARL, "", "rewards of SMAX are on SMAC's scale already"),
    "env_kwargs": OldName(JAXMARL, "env_config"),
    "test_num_envs": OldName(JAXMARL, "evaluation_duration", "with the unit episodes"),
    # Results and checkpoints.
    "log_interval": OldName(PYMARL, "min_sample_timesteps_per_iteration", _RESULTS),
    "runner_log_interval": OldName(PYMARL, "min_sample_timesteps_per_iteration", _RESULTS),
    "learner_log_interval": OldName(PYMARL, "min_sample_timesteps_per_iteration", _RESULTS),
    "save_model": OldName(PYMARL, "", "`checkpoint_config` in YAML"),
    "save_model_interval": OldName(PYMARL, "", "`checkpoint_config` in YAML; in iterations"),
    "checkpoint_path": OldName(PYMARL, "", "rllib train --resume CHECKPOINT, rllib evaluate"),
    "load_step": OldName(PYMARL, "", "rllib train --resume CHECKPOINT"),
    "save_replay": OldName(PYMARL, "", "rllib evaluate CHECKPOINT --video"),
    "use_tensorboard": OldName(PYMARL, "", "Tune writes TensorBoard files next to the results"),
    "local_results_path": OldName(PYMARL, "", "`storage_path` in YAML"),
    "training_iteration": OldName(TUNE, "", _STOP),
    "num_env_steps_sampled_lifetime": OldName(TUNE, "", _STOP),
    "time_total_s": OldName(TUNE, "", _STOP),
    "local_dir": OldName(RLLIB, "", "`storage_path` in YAML"),
    "resources_per_trial": OldName(
        RLLIB,
        "num_cpus_for_main_process and num_cpus_per_env_runner",
        "what a trial takes follows from its settings",
    ),
    "repeat_id": OldName(PYMARL, "", "`num_samples` in YAML, or a grid over `seed`"),
}


def hint(name: str) -> str:
    """What a setting of another codebase is called here; "" if no codebase has it."""
    old = OLD_NAMES.get(str(name).lower().replace("-", "_"))
    if old is None:
        return ""
    if not old.here:
        return f"That is {old.whose}'s name; there is no setting for it here: {old.note}."
    here = " and ".join(map(repr, old.here.split(" and ")))
    return f"That is {old.whose}'s name; here it is {here}{old.note and f' ({old.note})'}."


def known_setting(name: str, accepted: Iterable[str], what: str) -> str:
    """Returns `name` if it is accepted.

    Raises:
        ValueError: If it isn't, with the name here of another codebase's setting, or with the
            nearest names.
    """
    accepted = list(accepted)
    if name not in accepted:
        # A slip of another codebase's name is more likely than one of a name half as near.
        near = difflib.get_close_matches(str(name), [*OLD_NAMES, *accepted], n=1, cutoff=0.85)
        if told := hint(name) or (near and hint(near[0])):
            meant = "" if hint(name) else f"Did you mean {near[0]!r}? "
            raise ValueError(f"Unknown {what}: {name!r}. {meant}{told}")
    return one_of(name, accepted, what)
