"""The stable keys of this package's results and what each means; names of result files.

Tune joins nested keys with "/", so that `env_runners/win_rate` names the same number in
progress.csv, TensorBoard, stopping criteria and searches.
"""

from __future__ import annotations

ENV_RUNNERS = "env_runners"
EVALUATION = "evaluation"
LEARNER = "learners/default_policy"

STEPS = "num_env_steps_sampled_lifetime"
WIN_RATE = "win_rate"
EPSILON = "epsilon"
EPISODE_RETURN_MEAN = "episode_return_mean"
EPISODE_LEN_MEAN = "episode_len_mean"
GAME_RESTARTS = "game_restarts"
GAMES_DROPPED = "games_dropped"
ENV_RUNNERS_FAILED = "env_runners_failed"
REPLAY_EPISODES = "replay_episodes"
REPLAY_BYTES = "replay_bytes"
ENGINE = "engine"
RECIPE = "recipe"
ENV_STEPS_PER_SECOND = "env_steps_per_second"
UPDATES_PER_SECOND = "updates_per_second"
NUM_UPDATES = "num_updates_lifetime"
STALENESS = "staleness"

LOSS = "total_loss"
TD_ERROR_ABS = "td_error_abs"
Q_TOT_MEAN = "q_tot_mean"
TARGET_MEAN = "target_mean"
OPT_LOSS = "opt_loss"
NOPT_LOSS = "nopt_loss"
CENTRAL_LOSS = "central_loss"
WEIGHT_MEAN = "weight_mean"
HEAD_ENTROPY = "head_{}_entropy"
EFFECTIVE_WEIGHT_MEAN = "effective_weight_mean"
EFFECTIVE_WEIGHT_STD = "effective_weight_std"
AGENT_EFFECTIVE_WEIGHT = "agent_{}_effective_weight"
GRAD_NORM = "gradients_default_optimizer_global_norm"

RETURN = f"{ENV_RUNNERS}/{EPISODE_RETURN_MEAN}"
WINS = f"{ENV_RUNNERS}/{WIN_RATE}"
DROPPED = f"{ENV_RUNNERS}/{GAMES_DROPPED}"
GREEDY_DROPPED = f"{EVALUATION}/{DROPPED}"
GREEDY_RETURN = f"{EVALUATION}/{RETURN}"
GREEDY_WINS = f"{EVALUATION}/{WINS}"

#: In a trial's folder, next to Tune's files: the command that started it.
COMMAND_FILE = "command.txt"
#: Algorithm, date, commit, versions, machine and command of a trial.
RECORD_FILE = "run.json"

#: A final number is the mean of this many last evaluations.
LAST = 5

#: Every promised key -> what it is. docs/result_keys.md's table is this.
KEYS = {
    "num_env_steps_sampled_lifetime": "environment steps played for training so far",
    "training_iteration": "iterations so far, each with a set number of env steps",
    "time_total_s": "seconds of training so far, evaluation included",
    "env_runners/num_episodes_lifetime": "games finished for training so far",
    "env_runners/episode_return_mean": "mean return of this iteration's exploring games",
    "env_runners/episode_len_mean": "mean length of this iteration's exploring games, in steps",
    "env_runners/win_rate": "share of this iteration's exploring games that were won (battles)",
    "env_runners/epsilon": "exploration at an iteration's end, the least that env runners estimate",
    "env_runners/game_restarts": "faults of engines or envs after which a game was restarted",
    "env_runners/games_dropped": "exploring games that a fault ended; in no other number here",
    "evaluation/env_runners/win_rate": "share of this evaluation's greedy games that were won",
    "evaluation/env_runners/episode_return_mean": "mean return of exactly those games",
    "evaluation/env_runners/episode_len_mean": "mean length of exactly those games, in steps",
    "evaluation/env_runners/num_episodes": "how many games the evaluation played",
    "evaluation/env_runners/game_restarts": "the same faults in this evaluation",
    "evaluation/env_runners/games_dropped": "greedy games that a fault ended; others were played",
    f"{LEARNER}/total_loss": "mean loss of each round's last update (prioritized: of all)",
    f"{LEARNER}/td_error_abs": "mean absolute TD error of all of this iteration's updates",
    f"{LEARNER}/q_tot_mean": "mean joint action value of the actions taken, over these updates",
    f"{LEARNER}/target_mean": "mean target of these updates",
    f"{LEARNER}/{GRAD_NORM}": "gradient norm before clipping, of the same updates as the loss",
    f"{LEARNER}/head_0_entropy": "entropy of a head's attention (Qatten), mean of all updates",
    f"{LEARNER}/{EFFECTIVE_WEIGHT_MEAN}": "dQ_tot/dQ_i, mean over steps of living agents' mean",
    f"{LEARNER}/{EFFECTIVE_WEIGHT_STD}": "its spread over a step's living agents, mean over steps",
    f"{LEARNER}/agent_0_effective_weight": "the same for one agent, mean over steps it is alive",
    f"{LEARNER}/{OPT_LOSS}": "QTRAN's loss on greedy joint actions, unweighted",
    f"{LEARNER}/{NOPT_LOSS}": "QTRAN's loss on the joint actions taken, unweighted",
    f"{LEARNER}/{CENTRAL_LOSS}": "loss of WQMIX's central joint action value",
    f"{LEARNER}/{WEIGHT_MEAN}": "mean weight of the squared errors (WQMIX)",
    "num_updates_lifetime": "gradient updates so far",
    "staleness": "largest number of updates by which a game's weights lagged behind; 0 in lockstep",
    "env_steps_per_second": "env steps played per second of this iteration, all work included",
    "updates_per_second": "gradient updates per second of this iteration, all work included",
    "replay_episodes": "episodes in the replay",
    "replay_bytes": "bytes of the replay",
    "engine": "name and version of the engine or environment",
    "recipe": "named set of settings that the run started from",
}
