"""What a checkpoint holds besides RLlib's files: the team and its mixer, read without a pickle."""

from __future__ import annotations

import json
from typing import Any

import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import DEFAULT_MODULE_ID

from rllib_qatten.checkpoints import team_files
from rllib_qatten.training.rl_module import ValueDecompositionRLModule
from rllib_qatten.version import __version__


def team_policy_files(algorithm: Algorithm) -> dict[str, bytes]:
    """The files of the learner's current agent network, by name; see `team_files`."""
    config: Any = algorithm.config
    module: Any = algorithm.get_module()
    assert isinstance(module, ValueDecompositionRLModule)
    learned = algorithm.learner_group.get_weights([DEFAULT_MODULE_ID])[DEFAULT_MODULE_ID]
    weights = {
        name: torch.as_tensor(learned[f"agent.{name}"]) for name in module.agent.state_dict()
    }
    try:
        env, env_config = config.env, json.loads(json.dumps(dict(config.env_config)))
    except TypeError:
        env, env_config = None, {}
    environment = {
        # Anything but a plain name and plain settings is code, which is not stored here.
        "env": env if isinstance(env, str) else None,
        "env_config": env_config,
        "team_reward": config.team_reward,
        "max_episode_steps": config.max_episode_steps,
        "num_games": config.get_evaluation_config_object().num_envs_per_env_runner,
        "engine": module.spec.engine,
    }
    about = {
        "rllib_qatten": __version__,
        "algorithm": config.name,
        "environment": environment,
        "agents": module.spec.agents,
    }
    mixer = _mixer(module, learned)
    return team_files.files(weights, module.layout, module.agent_settings, about, mixer)


def _mixer(
    module: ValueDecompositionRLModule, learned: dict[str, Any]
) -> team_files.StoredMixer | None:
    """The mixer, for analyzing a trained team; None if it has no weights or options."""
    prefix, units = "mixer.", module.spec.unit_features
    weights = {
        name.removeprefix(prefix): torch.as_tensor(weight)
        for name, weight in learned.items()
        if name.startswith(prefix)
    }
    about = {
        "options": module.model_config["mixer"],
        "state_size": module.spec.state_size,
        "unit_features": None if units is None else [units.start, units.stop],
    }
    try:
        return team_files.StoredMixer(weights, json.loads(json.dumps(about)))
    except TypeError:  # the options of a user's own mixer may be anything
        return None
