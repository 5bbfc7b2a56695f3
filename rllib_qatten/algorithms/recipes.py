"""Named training recipes: sets of settings that were published or measured together.

`recipe: NAME` in a config applies one; settings given explicitly override it.
"""

from __future__ import annotations

from typing import Any

# PyMARL2's for StarCraft II. Its loss is half a mean square, so its gradients are half as large as
# here: Adam is invariant to that, and clipping them at 10 is clipping at 20 here.
PYMARL2 = {
    "optimizer_name": "adam",
    "lr": 1e-3,
    "grad_clip": 20.0,
    "td_lambda": 0.6,
    "updates_per_episode": 1 / 8,
    "train_batch_size_episodes": 128,
    "replay_capacity_episodes": 5000,
    "target_update_episodes": 200,
    "epsilon": [[0, 1.0], [100_000, 0.05]],
    "num_envs_per_env_runner": 8,
}

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
    "pymarl2": PYMARL2,
    # Its changes for single maps: longer exploration, ...
    "pymarl2_6h_vs_8z": {**PYMARL2, "td_lambda": 0.3, "epsilon": [[0, 1.0], [500_000, 0.05]]},
    # ... wider networks, ...
    "pymarl2_3s5z_vs_3s6z": {
        **PYMARL2,
        "hidden_size": 256,
        "mixing_embed_dim": 64,
        "hypernet_embed": 256,
    },
    # ... fewer parallel games and shorter returns.
    "pymarl2_5m_vs_6m": {
        **PYMARL2,
        "td_lambda": 0.3,
        "updates_per_episode": 1 / 4,
        "num_envs_per_env_runner": 4,
    },
    # For every battle of SMAX: agents that see units as sets, games that explore for long at ever
    # smaller rates (one random action in fifty loses 5m_vs_6m), each of them seen eight times.
    "smax": {
        "agent": "entity",
        "hidden_size": 64,
        "layer_norm": True,
        "optimizer_name": "adam",
        "lr": [[0, 1.5e-3], [1_000_000, 2e-4], [2_000_000, 5e-5]],
        "grad_clip": 10.0,
        "td_lambda": 0.4,
        "updates_per_episode": 0.25,
        "train_batch_size_episodes": 32,
        "replay_capacity_episodes": 5000,
        "target_update_episodes": 200,
        "epsilon": [[0, 1.0], [150_000, 0.1], [300_000, 0.03], [500_000, 0.01]],
        "num_envs_per_env_runner": 64,
    },
    # Found before for recurrent agents on 2s3z and 3s5z: fewer games, long returns, a small replay.
    "smax_recurrent": {
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
