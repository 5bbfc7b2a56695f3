"""What a checkpoint holds beside RLlib's files: the team and its mixer, read without a pickle."""

from __future__ import annotations

import json
from typing import Any

import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import DEFAULT_MODULE_ID

from rllib_qatten.checkpoints import team_files as stored
from rllib_qatten.training.rl_module import ValueDecompositionRLModule
from rllib_qatten.version import __version__


def team_policy_files(algorithm: Algorithm) -> dict[str, bytes]:
    """The files of the agent network, by name, as the learner has it now; see `team_files`."""
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
        # What is no plain name and plain settings is code, and none is kept here.
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
    return stored.files(weights, module.layout, module.agent_settings, about, mixer)


def _mixer(
    module: ValueDecompositionRLModule, learned: dict[str, Any]
) -> stored.StoredMixer | None:
    """The mixer, for those who look at a trained team; None if it has no weights or options."""
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
        return stored.StoredMixer(weights, json.loads(json.dumps(about)))
    except TypeError:  # an own mixer's options may be anything
        return None
