"""The sweep of qatten_3s5z_sweep.yaml with Tune's own API.

python tuned_examples/sweep.py
"""

from ray import tune
from ray.tune.schedulers import ASHAScheduler

import rllib_qatten  # noqa: F401  registers Qatten and the maps with Tune

STEPS = "num_env_steps_sampled_lifetime"
WIN_RATE = "evaluation/env_runners/win_rate"

CONFIG = {
    "env": "smac",
    "env_config": {"map_name": "3s5z", "engine": "auto"},
    "recipe": "smax_recurrent",
    "lr": tune.loguniform(0.0002, 0.002),
    "weighted_heads": tune.grid_search([True, False]),
    "n_heads": tune.choice([2, 4, 8]),
    "td_lambda": tune.uniform(0.4, 0.9),
    "hidden_size": tune.choice([64, 128]),
    "attend_reg_coef": 0.0,
    "epsilon": [[0, 1.0], [100_000, 0.05], [800_000, 0.01]],
    "gamma": 0.99,
    "grad_clip": 10.0,
    "num_env_runners": 0,
    "min_sample_timesteps_per_iteration": 50_000,
    # Every result has a fresh evaluation: plain schedulers of Tune's would take a missing one for
    # a judgement.
    "evaluation_interval": 1,
    "evaluation_duration": 100,
}


def tuner(config: dict = CONFIG, steps: int = 800_000, **run_config) -> tune.Tuner:
    """The sweep; `Tuner.restore(folder, "Qatten")` goes on with a killed one."""
    return tune.Tuner(
        "Qatten",
        param_space=config,
        tune_config=tune.TuneConfig(
            metric=WIN_RATE,
            mode="max",
            num_samples=8,
            max_concurrent_trials=2,
            reuse_actors=True,
            scheduler=ASHAScheduler(
                time_attr=STEPS, grace_period=steps // 8, reduction_factor=2, max_t=steps
            ),
        ),
        run_config=tune.RunConfig(
            stop={STEPS: steps},
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=2,
                num_to_keep=2,
                checkpoint_score_attribute=WIN_RATE,
                checkpoint_at_end=True,
            ),
            failure_config=tune.FailureConfig(max_failures=2),
            **run_config,
        ),
    )


if __name__ == "__main__":
    # "all": the last result has no score if it came without an evaluation.
    best = tuner().fit().get_best_result(scope="all")
    print(best.metrics["evaluation"]["env_runners"], best.config["lr"])
    print(best.get_best_checkpoint(WIN_RATE, "max"))
