"""Named training recipes: sets of settings that were published or measured together.

`recipe: NAME` in a config applies one; settings given beside it come on top.
"""

from __future__ import annotations

from typing import Any

RECIPES: dict[str, dict[str, Any]] = {
    # PyMARL's and the Qatten authors' for StarCraft II; the defaults of every algorithm.
    "pymarl": {
        "optimizer_name": "rmsprop",
        "lr": 5e-4,
        "td_lambda": 0.0,
        "updates_per_episode": 1.0,
        "train_batch_size_episodes": 32,
        "replay_capacity_episodes": 5000,
        "target_update_episodes": 200,
        "epsilon": [[0, 1.0], [50_000, 0.05]],
    },
    # Found for SMAX on one CPU core: many games, few updates each, long returns, a young replay.
    "smax": {
        "optimizer_name": "adam",
        "lr": 7e-4,
        "td_lambda": 0.8,
        "updates_per_episode": 0.25,
        "train_batch_size_episodes": 32,
        "replay_capacity_episodes": 1500,
        "target_update_episodes": 100,
        "epsilon": [[0, 1.0], [100_000, 0.05]],
        "num_envs_per_env_runner": 32,
    },
}
