"""What a checkpoint holds besides RLlib's files: the team and its mixer, read without a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import DEFAULT_MODULE_ID

from rllib_qatten.checkpoints import team_files
from rllib_qatten.files import DEPTH, parse_json
from rllib_qatten.rollout.changed_settings import changed
from rllib_qatten.training.rl_module import ValueDecompositionRLModule
from rllib_qatten.version import __version__

#: Characters of `env_config`, and of a mixer's options, that are kept: readers take both.
ROOM = team_files.METADATA_LIMIT // 8


def team_policy_files(algorithm: Algorithm) -> dict[str, bytes]:
    """The files of the learner's current agent network, by name; see `team_files`."""
    config: Any = algorithm.config
    module: Any = algorithm.get_module()
    assert isinstance(module, ValueDecompositionRLModule)
    learned = algorithm.learner_group.get_weights([DEFAULT_MODULE_ID])[DEFAULT_MODULE_ID]
    weights = {
        name: torch.as_tensor(learned[f"agent.{name}"]) for name in module.agent.state_dict()
    }
    env_config, lost = as_text(config.env_config)
    environment = {
        # Anything but a name is code, which is not stored here.
        "env": config.env if isinstance(config.env, str) else None,
        "env_config": env_config,
        "env_config_lost": lost,
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
        "own_sizes": module.spec.own_sizes,
    }
    options, options_lost = as_text(module.model_config["mixer"])
    if options_lost:
        mixer, about["mixer_options_lost"] = None, options_lost
    else:
        mixer = _mixer(module, learned, options)
    return team_files.files(weights, module.layout, module.agent_settings, about, mixer)


def as_text(settings: Mapping[Any, Any]) -> tuple[dict[str, Any], list[str]]:
    """What JSON gives back of an env's or a mixer's settings as they were, and all others' keys.

    NumPy's numbers and arrays become plain ones. Lost are code, mappings whose keys are no text,
    and what takes too much room or is nested too deep.
    """
    kept: dict[str, Any] = {}
    lost, room = [], ROOM
    for key, value in settings.items():
        try:
            text = json.dumps({key: value}, default=_plain, indent=2)  # as in the file
            read = parse_json(text, DEPTH - 2)  # where it stands in the file's second level
        except (TypeError, ValueError, RecursionError):
            text, read = "", {}
        if len(text) > room or any(changed({key: value}, read)):
            lost.append(str(key))
        else:
            kept |= read
            room -= len(text)
    return kept, lost


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r} is no text")


def _mixer(
    module: ValueDecompositionRLModule, learned: dict[str, Any], options: dict[str, Any]
) -> team_files.StoredMixer:
    """The mixer, for analyzing a trained team."""
    prefix, units = "mixer.", module.spec.unit_features
    weights = {
        name.removeprefix(prefix): torch.as_tensor(weight)
        for name, weight in learned.items()
        if name.startswith(prefix)
    }
    about = {
        "options": options,
        "state_size": module.spec.state_size,
        "unit_features": None if units is None else [units.start, units.stop],
    }
    return team_files.StoredMixer(weights, about)
